package tcp

import (
	"encoding/binary"

	"github.com/dchest/siphash"

	"tcpd/ip"
)

// secret keys everything that an attacker must not predict. SipHash-2-4 comes from a library: it is cryptography, and the
// library's assembly is faster than Go.
type secret struct{ k0, k1 uint64 }

func newSecret(b [16]byte) secret {
	return secret{binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:])}
}

// Domains keep the uses of one key apart.
const (
	domainISN byte = iota
	domainTimestamp
	domainPort
	domainCookie
	domainSource
	domainFastOpen
	domainFlow
)

func (s secret) hash(domain byte, f *Flow) uint64 {
	var b [37]byte
	copy(b[0:], f.Local[:])
	copy(b[16:], f.Remote[:])
	binary.BigEndian.PutUint16(b[32:], f.LocalPort)
	binary.BigEndian.PutUint16(b[34:], f.RemotePort)
	b[36] = domain
	return siphash.Hash(s.k0, s.k1, b[:])
}

// flowTag is the hash by which flows are found.
func (s secret) flowTag(f *Flow) uint32 {
	if !f.Local.Is4() || !f.Remote.Is4() {
		return uint32(s.hash(domainFlow, f))
	}
	var b [13]byte
	copy(b[0:], f.Local[12:])
	copy(b[4:], f.Remote[12:])
	binary.BigEndian.PutUint16(b[8:], f.LocalPort)
	binary.BigEndian.PutUint16(b[10:], f.RemotePort)
	b[12] = domainFlow
	return uint32(siphash.Hash(s.k0, s.k1, b[:]))
}

// isn is the initial sequence number M + F(flow, key) of RFC 6528, section 3. The clock M ticks every 64 ns, so that a new
// incarnation starts above an old one that sent less than 15 MB/s; TIME-WAIT reuse looks after the others.
func (s secret) isn(now Time, f *Flow) Seq {
	return Seq(uint32(s.hash(domainISN, f)) + uint32(now>>6))
}

// timestampOffset is the offset of the timestamp clock of one flow, ports and all: timestamps grow from one incarnation of it to
// the next (RFC 6191), and those of one connection tell nothing of another's, nor of the uptime (RFC 7323, section 7.1).
func (s secret) timestampOffset(f *Flow) uint32 { return uint32(s.hash(domainTimestamp, f)) }

// source numbers a host: an IPv4 address, or an IPv6 /64, in which a single host has all addresses it wants.
func (s secret) source(a ip.Addr) uint64 {
	if !a.Is4() {
		clear(a[8:])
	}
	return s.hash(domainSource, &Flow{Remote: a})
}

// portOffset is the offset F of RFC 6056, algorithm 3.
func (s secret) portOffset(f *Flow) uint32 { return uint32(s.hash(domainPort, f)) }

// random is a small generator for jitter (splitmix64); its seed is an input of the table, so runs repeat.
type random uint64

func (r *random) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number in [0, n).
func (r *random) below(n int64) int64 { return int64(r.next() % uint64(n)) }
