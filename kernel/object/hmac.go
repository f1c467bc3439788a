package object

import (
	"fmt"
	"strconv"
)

// HMACAlgorithm is a keyed hash of segment routing headers, as the kernel's
// SEG6_HMAC_ALGO_* numbers it (include/uapi/linux/seg6_hmac.h).
type HMACAlgorithm uint8

// The algorithms.
const (
	HMACSHA1   HMACAlgorithm = 1
	HMACSHA256 HMACAlgorithm = 2
)

func (a HMACAlgorithm) String() string {
	switch a {
	case HMACSHA1:
		return "sha1"
	case HMACSHA256:
		return "sha256"
	}
	return fmt.Sprintf("algorithm(%d)", uint8(a))
}

// MaxHMACSecret is how many octets a secret has at most (SEG6_HMAC_SECRET_LEN).
const MaxHMACSecret = 64

// Secret is text that is not to be read by who looks at what is printed.
type Secret string

// String and GoString hide it.
func (Secret) String() string   { return "(secret)" }
func (Secret) GoString() string { return "(secret)" }

// HMACKey is a key of this network namespace for the HMAC of segment routing headers
// (RFC 8754 §2.1.2): who encapsulates signs with it, who takes the packet checks.
type HMACKey struct {
	ID        uint32 // not 0
	Algorithm HMACAlgorithm
	Secret    Secret // 1 to MaxHMACSecret octets
}

// HMACKeyKey is the key of the HMAC key with an ID.
func HMACKeyKey(id uint32) Key { return Key{KindHMACKey, strconv.FormatUint(uint64(id), 10)} }

func (h HMACKey) Key() Key               { return HMACKeyKey(h.ID) }
func (h HMACKey) Needs(into []Key) []Key { return into }
func (h HMACKey) Equal(o Object) bool    { return Object(h) == o }
func (h HMACKey) Mutable(Object) bool    { return true }
func (h HMACKey) String() string         { return fmt.Sprintf("sr hmac %d %s", h.ID, h.Algorithm) }

// needs are the objects that a next hop needs besides its link.
func (n NextHop) needs(into []Key) []Key {
	if n.Encap != nil && n.Encap.HMACKey != 0 {
		into = append(into, HMACKeyKey(n.Encap.HMACKey))
	}
	return into
}
