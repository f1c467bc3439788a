package rules

import (
	"fmt"

	"heddle/kernel/object"
	"heddle/schema"
	"heddle/translators"
)

// segmentsOfHMAC is how many segments have no place beside an HMAC: its 40 octets are
// two and a half, and a header of 127 segments is as long as one can be (RFC 8754
// §2.1.2; seg6_validate_srh in Linux).
const segmentsOfHMAC = 2

// hmacSecret says nothing of the secret itself.
func hmacSecret(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	const leaf = "config/secret-key"
	secret := translators.Str(entry.(*translators.HMACKey).SecretKey)
	if secret == "" {
		c.fail(k, leaf, "", "a key needs a secret", "set it, or delete the key")
		return
	}
	if len(secret) > object.MaxHMACSecret {
		c.fail(k, leaf, "", "the kernel takes 64 octets at most", "use a shorter one")
	}
	for _, r := range secret {
		if r < ' ' || r > '~' {
			c.fail(k, leaf, "", "it has characters that are not printable ASCII", "use letters, digits and punctuation")
			return
		}
	}
}

func encapHMAC(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	e := entry.(*translators.NextHop).Srv6Encapsulation
	if e == nil || e.HmacKeyId == nil {
		return
	}
	const leaf = "srv6-encapsulation/config/hmac-key-id"
	id := text(*e.HmacKeyId)
	if len(e.SegmentList) == 0 {
		c.fail(k, leaf, id, "nothing is encapsulated without segments", "set srv6-encapsulation/config/segment-list, or delete it")
		return
	}
	c.hasHMACKey(k, leaf, id)
}

func (c *check) hasHMACKey(k schema.EntryKey, leaf, id string) {
	if key, err := c.Key(c.DefaultKey(), c.HMACKey, id); err == nil {
		if _, ok := c.Get(key); ok {
			return
		}
	}
	c.fail(k, leaf, id, "there is no such key, and the kernel drops packets that it cannot sign",
		"configure it in segment-routing/srv6/hmac-keys of instance "+translators.DefaultInstance+", use another one, or delete this leaf in the request that deletes the key")
}

// policyHMAC: all that goes by the policy is signed.
func policyHMAC(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	p := entry.(*translators.Policy)
	if p.HmacKeyId == nil {
		return
	}
	const leaf = "config/hmac-key-id"
	id := text(*p.HmacKeyId)
	if p.BindingSid != nil {
		c.fail(k, leaf, id, "what comes by binding-sid would not be signed", "delete one of the two")
	}
	c.hasHMACKey(k, leaf, id)
	for _, path := range c.PathsOf(k) {
		for _, l := range path.Lists {
			if n := len(l.Segments); n > maxSegments-segmentsOfHMAC {
				c.fail(k, leaf, id, fmt.Sprintf("candidate path %s has a list of %d segments, and a header holds %d beside an HMAC", translators.Str(path.Name), n, maxSegments-segmentsOfHMAC),
					"shorten the list, or delete it")
			}
		}
	}
}

// recheckSigned: those who sign with a key that goes.
func recheckSigned(_, is translators.View, ch schema.Change, again func(schema.EntryKey)) {
	if old, _ := ch.Old.(*translators.HMACKey); old != nil && ch.New == nil && old.KeyId != nil {
		is.SignedWith(*old.KeyId, again)
	}
}
