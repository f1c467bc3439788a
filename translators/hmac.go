package translators

import (
	"encoding/binary"

	"heddle/schema"
)

// hmacKeyOf is the key that the encapsulation of a next hop signs with, 0 for none.
func hmacKeyOf(nh *NextHop) uint32 {
	if nh.Srv6Encapsulation == nil || nh.Srv6Encapsulation.HmacKeyId == nil {
		return 0
	}
	return *nh.Srv6Encapsulation.HmacKeyId
}

func hmacTerm(id uint32) string {
	return string(binary.BigEndian.AppendUint32([]byte{termHMACKey}, id))
}

// SignedWith calls fn with the next hops and policies that sign with a key.
func (v View) SignedWith(id uint32, fn func(schema.EntryKey)) {
	for _, k := range v.withTerm(nil, hmacTerm(id)) {
		fn(k)
	}
}
