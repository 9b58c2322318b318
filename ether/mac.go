// Package ether makes an IP stack a host of an Ethernet: frames, the resolution of addresses by ARP (RFC 826) and Neighbor
// Discovery (RFC 4861, with MLD for its groups), the check that nobody else has an address (RFC 5227, RFC 4862) and its defence. Addresses and gateways
// are configured; router advertisements and redirects are not obeyed.
//
// It performs no I/O and keeps no clock: frames and time are arguments, and what is to be sent is asked for.
package ether

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/dchest/siphash"
)

// MAC is the address of an interface on an Ethernet.
type MAC [6]byte

// Broadcast is every interface.
var Broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// The first byte's bits: who is addressed, and who chose the address.
const (
	groupBit = 1
	localBit = 2
)

// IsGroup reports whether m is a broadcast or multicast address.
func (m MAC) IsGroup() bool { return m[0]&groupBit != 0 }

// Valid reports whether m can be the address of one interface.
func (m MAC) Valid() bool { return !m.IsGroup() && m != MAC{} }

// String returns m as 02:00:5e:10:00:01.
func (m MAC) String() string {
	b := make([]byte, 0, 17)
	for i := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = hex.AppendEncode(b, m[i:i+1])
	}
	return string(b)
}

// DeriveMAC returns the address that belongs to a name: the same for the same key, and of the locally administered range. The
// key cannot be found out from it.
func DeriveMAC(key [16]byte, name string) MAC {
	h := siphash.Hash(binary.LittleEndian.Uint64(key[:8]), binary.LittleEndian.Uint64(key[8:]), []byte(name))
	m := MAC{byte(h), byte(h >> 8), byte(h >> 16), byte(h >> 24), byte(h >> 32), byte(h >> 40)}
	m[0] = m[0]&^groupBit | localBit
	return m
}
