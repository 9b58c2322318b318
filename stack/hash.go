package stack

import (
	"encoding/binary"
	"math/bits"

	"tcpd/ip"
	"tcpd/tcp"
)

// mix is one step of a keyed hash: a 64 by 64 bit product, folded (as in wyhash).
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xbf58476d1ce4e5b9)
	return hi ^ lo
}

// hasher spreads flows over shards and destinations over buckets. It is keyed, so that nobody outside can choose sources
// that all meet in one place. A collision costs evenness, nothing else: it need not withstand more than that.
type hasher struct{ k0, k1 uint64 }

func newHasher(secret [16]byte) hasher {
	k := hasher{binary.LittleEndian.Uint64(secret[:8]), binary.LittleEndian.Uint64(secret[8:])}
	return hasher{mix(k.k0, 1), mix(k.k1, 2)}
}

func (h hasher) addr(seed uint64, a *ip.Addr) uint64 {
	le := binary.LittleEndian
	return mix(mix(seed, h.k0^le.Uint64(a[:8])), h.k1^le.Uint64(a[8:]))
}

// flow hashes all of a flow but the local port: that of a connection we open is chosen by the table of the shard, so the
// shard has to be known before. Those of clients differ in the remote port anyway.
func (h hasher) flow(f *tcp.Flow) uint64 {
	return h.addr(h.addr(uint64(f.RemotePort), &f.Remote), &f.Local)
}
