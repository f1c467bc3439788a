package kerneltest

import (
	"strconv"
	"syscall"

	"heddle/kernel/object"
)

// fakeHMAC is a key for the HMAC of segment routing headers.
type fakeHMAC struct {
	key  object.HMACKey
	ours bool
}

// putHMAC creates a key (old nil) or changes it.
func (f *Fake) putHMAC(old object.Object, k object.HMACKey, ours bool) error {
	now, there := f.hmac[k.ID]
	switch {
	case old == nil && there:
		return syscall.EEXIST
	case old != nil && (!there || ours && !now.ours):
		return syscall.ENOENT
	case k.ID == 0 || k.Secret == "" || len(k.Secret) > object.MaxHMACSecret || k.Algorithm != object.HMACSHA1 && k.Algorithm != object.HMACSHA256:
		return syscall.EINVAL
	}
	f.hmac[k.ID] = fakeHMAC{k, ours}
	return nil
}

func (f *Fake) getHMAC(k object.Key) (object.Object, bool) {
	id, err := strconv.ParseUint(k.ID, 10, 32)
	h, there := f.hmac[uint32(id)]
	if err != nil || !there {
		return nil, false
	}
	return h.key, true
}
