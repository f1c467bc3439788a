package rtnl

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/kernel/prior"
	"heddle/reconcile"
)

// The kernel's HMAC keys (net/ipv6/seg6.c, seg6_genl_sethmac) have no room for a mark:
// the record has the digest of those that are ours.
const propDigest = "digest"

// errNotSupp is ENOTSUPP of include/linux/errno.h, which a kernel without
// CONFIG_IPV6_SEG6_HMAC answers.
const errNotSupp = unix.Errno(524)

func digest(k object.HMACKey) string {
	sum := sha256.Sum256(append([]byte{byte(k.Algorithm)}, k.Secret...))
	return hex.EncodeToString(sum[:])
}

// hmacKeys reads all keys, by ID.
func (d *Driver) hmacKeys(ctx context.Context) (map[uint32]object.HMACKey, error) {
	family, err := d.seg6Family(ctx)
	if err != nil {
		return nil, err
	}
	keys := map[uint32]object.HMACKey{}
	c := d.genl
	err = c.dump(ctx, func() {
		h := c.begin(family, unix.NLM_F_DUMP, genlHeader)
		h[0], h[1] = seg6CmdDumpHMAC, seg6GenlVersion
		c.out.end()
	}, func() { clear(keys) }, func(m *message) {
		var k object.HMACKey
		for a := (attrs{rest: m.data[min(genlHeader, len(m.data)):]}); a.next(); {
			switch a.typ {
			case seg6AttrHMACKeyID:
				k.ID = a.u32()
			case seg6AttrAlgID:
				if len(a.data) > 0 {
					k.Algorithm = object.HMACAlgorithm(a.data[0])
				}
			case seg6AttrSecret:
				k.Secret = object.Secret(a.data)
			}
		}
		if k.ID != 0 {
			keys[k.ID] = k
		}
	})
	return keys, hmacError(err)
}

func hmacError(err error) error {
	if isErrno(err, errNotSupp) || isErrno(err, unix.EOPNOTSUPP) {
		return &UnsupportedError{Feature: FeatureHMACSHA256, Reason: "no keys for HMAC", Remedy: "use a kernel built with CONFIG_IPV6_SEG6_HMAC"}
	}
	return err
}

// HMACKeys reads all keys, by ID, whoever made them.
func (d *Driver) HMACKeys(ctx context.Context) (map[uint32]object.HMACKey, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	keys, err := d.hmacKeys(ctx)
	return keys, describe("list", "sr hmac", err)
}

// setHMACKey writes a key; one without a secret is deleted.
func (d *Driver) setHMACKey(ctx context.Context, k object.HMACKey) error {
	family, err := d.seg6Family(ctx)
	if err != nil {
		return err
	}
	c := d.genl
	h := c.begin(family, unix.NLM_F_ACK, genlHeader)
	h[0], h[1] = seg6CmdSetHMAC, seg6GenlVersion
	c.out.u32(seg6AttrHMACKeyID, k.ID)
	c.out.u8(seg6AttrSecretLen, uint8(len(k.Secret)))
	c.out.u8(seg6AttrAlgID, uint8(k.Algorithm))
	if k.Secret != "" {
		c.out.bytes(seg6AttrSecret, []byte(k.Secret))
	}
	c.out.end()
	return hmacError(c.request(ctx, nil))
}

func (d *Driver) doHMACKey(ctx context.Context, s reconcile.Step) (object.Object, error) {
	keys, err := d.hmacKeys(ctx)
	if err != nil {
		return nil, describe(op(s), describeStep(s), err)
	}
	rec, had := d.prior.Get(s.Key())
	if s.New == nil {
		old, ok := s.Old.(object.HMACKey)
		if !ok {
			return nil, wrongType(s.Old)
		}
		return nil, describe(opDelete, describeStep(s), d.deleteHMACKey(ctx, old, keys, rec, had))
	}
	k, ok := s.New.(object.HMACKey)
	if !ok {
		return nil, wrongType(s.New)
	}
	now, there := keys[k.ID]
	switch {
	case s.Old == nil && there && (!had || rec.Set[propDigest] != digest(now)):
		return nil, describe(opCreate, k.String(), hmacConflict(k))
	case s.Old == nil && there:
		return nil, describe(opCreate, k.String(), &answer{errno: unix.EEXIST})
	case s.Old != nil && !had:
		return nil, describe(opChange, k.String(), &answer{errno: unix.ENOENT, text: "no HMAC key of ours"})
	case k.ID == 0 || k.Secret == "" || len(k.Secret) > object.MaxHMACSecret:
		return nil, fmt.Errorf("%s %s: a key has a number from 1 on and a secret of 1 to %d octets", op(s), k, object.MaxHMACSecret)
	}
	if err := d.prior.Put(prior.Entry{Key: k.Key(), Set: map[string]string{propDigest: digest(k)}}); err != nil {
		return nil, describe(op(s), k.String(), err)
	}
	got, err := d.writeHMACKey(ctx, k)
	if err != nil {
		return nil, errors.Join(describe(op(s), k.String(), err), describe("restore", k.String(), d.putBackHMACKey(ctx, k, now, rec, had)))
	}
	return got, nil
}

// writeHMACKey writes a key and reads it back. A key in place is exchanged: for a
// moment, of microseconds, the kernel has none of the number.
func (d *Driver) writeHMACKey(ctx context.Context, k object.HMACKey) (object.Object, error) {
	if err := d.setHMACKey(ctx, k); err != nil {
		return nil, err
	}
	keys, err := d.hmacKeys(ctx)
	if err != nil {
		return nil, err
	}
	if keys[k.ID] != k {
		return nil, &DroppedError{Object: k.String(), Dropped: "the key", Held: keys[k.ID].String()}
	}
	return k, nil
}

// putBackHMACKey undoes a failed write: before is what was there, the zero value for
// nothing.
func (d *Driver) putBackHMACKey(ctx context.Context, k, before object.HMACKey, rec prior.Entry, had bool) error {
	var err error
	keys, err := d.hmacKeys(ctx)
	if before.ID = k.ID; err == nil && keys[k.ID].Secret != before.Secret {
		err = d.setHMACKey(ctx, before)
	}
	if had {
		return errors.Join(err, d.prior.Put(rec))
	}
	return errors.Join(err, d.prior.Delete(k.Key()))
}

// deleteHMACKey removes a key of ours that nobody has changed since.
func (d *Driver) deleteHMACKey(ctx context.Context, k object.HMACKey, keys map[uint32]object.HMACKey, rec prior.Entry, had bool) error {
	if !had {
		return nil
	}
	if now, there := keys[k.ID]; there && rec.Set[propDigest] == digest(now) {
		if err := d.setHMACKey(ctx, object.HMACKey{ID: k.ID, Algorithm: now.Algorithm}); err != nil {
			return err
		}
	}
	return d.prior.Delete(k.Key())
}

// dumpHMACKeys lists those that we have made.
func (d *Driver) dumpHMACKeys(ctx context.Context) ([]object.Object, error) {
	recs := d.prior.Kind(object.KindHMACKey)
	if len(recs) == 0 {
		return nil, nil
	}
	keys, err := d.hmacKeys(ctx)
	if err != nil {
		return nil, describe("list", "sr hmac", err)
	}
	var all []object.Object
	for _, k := range keys {
		if _, ours := d.prior.Get(k.Key()); ours {
			all = append(all, k)
		}
	}
	return all, nil
}

func hmacConflict(k object.HMACKey) error {
	return &ConflictError{Object: k.String(), Holder: fmt.Sprintf("HMAC key %d, which somebody else has set,", k.ID),
		Remedy: fmt.Sprintf("delete it (ip sr hmac set %d sha256, with no secret), or use another key-id", k.ID)}
}

// hmacKey looks for a key of somebody else under the number.
func (c *checker) hmacKey(ctx context.Context, s reconcile.Step, k object.HMACKey) error {
	if s.Old != nil {
		return nil
	}
	if c.hmac == nil {
		keys, err := c.d.hmacKeys(ctx)
		if err != nil {
			return err
		}
		c.hmac = keys
	}
	now, there := c.hmac[k.ID]
	if rec, had := c.d.prior.Get(k.Key()); there && (!had || rec.Set[propDigest] != digest(now)) {
		return hmacConflict(k)
	}
	return nil
}
