package ip

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
)

func addr(s string) Addr { return AddrFrom(netip.MustParseAddr(s)) }

// family is a pair of hosts; tests run for each of both.
type family struct {
	name       string
	peer, ours Addr
	icmp       uint8
	header     int
}

var families = []family{
	{"IPv4", addr("192.0.2.1"), addr("10.77.0.2"), ProtocolICMP, HeaderLen4},
	{"IPv6", addr("2001:db8::1"), addr("fd77::2"), ProtocolICMPv6, HeaderLen6},
}

func eachFamily(t *testing.T, test func(t *testing.T, f family)) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) { test(t, f) })
	}
}

// build returns a packet from the peer to us.
func (f family) build(protocol uint8, payload []byte) []byte {
	return build(Header{Src: f.peer, Dst: f.ours, Protocol: protocol}, payload)
}

func build(h Header, payload []byte) []byte {
	h.PayloadLen = len(payload)
	b := make([]byte, h.Len()+len(payload))
	copy(b[h.Put(b):], payload)
	return b
}

func mustParse(t testing.TB, b []byte) *Packet {
	t.Helper()
	p := new(Packet)
	if d := p.Parse(b, Offload{}); d != DropNone {
		t.Fatalf("a good packet was dropped (%v): %x", d, b)
	}
	return p
}

func parseDrop(b []byte) Drop {
	var p Packet
	return p.Parse(b, Offload{})
}

// tcpHeader returns a TCP header of 20 bytes and the options, with a checksum of zero.
func tcpHeader(flags uint8, options ...byte) []byte {
	h := make([]byte, 20, 20+len(options))
	be := binary.BigEndian
	be.PutUint16(h, 40000)
	be.PutUint16(h[2:], 7)
	be.PutUint32(h[4:], 0xfffffff0)
	be.PutUint32(h[8:], 0x12345678)
	h[12] = uint8(20+len(options)) / 4 << 4
	h[13] = flags
	be.PutUint16(h[14:], 65000)
	return append(h, options...)
}

// checksummed completes the checksum of a transport header and its data, found at byte at.
func (f family) checksummed(protocol uint8, at int, b []byte) []byte {
	b = bytes.Clone(b)
	b[at], b[at+1] = 0, 0
	initial := slowPseudoSum(f.peer, f.ours, protocol, len(b))
	if protocol == ProtocolICMP {
		initial = 0
	}
	binary.BigEndian.PutUint16(b[at:], ^slowSum(b, initial))
	return b
}

func (f family) tcp(flags uint8, data []byte) []byte {
	return f.checksummed(ProtocolTCP, 16, append(tcpHeader(flags), data...))
}

func (f family) icmpMessage(kind, code uint8, rest uint32, body []byte) []byte {
	b := make([]byte, 8, 8+len(body))
	b[0], b[1] = kind, code
	binary.BigEndian.PutUint32(b[4:], rest)
	return f.checksummed(f.icmp, 2, append(b, body...))
}

// with6 returns an IPv6 packet whose payload begins with extension headers, the first of kind next.
func with6(next uint8, payload []byte) []byte { return families[1].build(next, payload) }

// cut returns the payload range of the packet b as a fragment.
func cut(b []byte, id uint32, from, to int, more bool) []byte {
	be := binary.BigEndian
	if b[0]>>4 == 4 {
		n := int(b[0]&0xf) * 4
		f := append(bytes.Clone(b[:n]), b[n+from:n+to]...)
		be.PutUint16(f[2:], uint16(len(f)))
		be.PutUint16(f[4:], uint16(id))
		field := uint16(from / 8)
		if more {
			field |= flagMoreFragments
		}
		be.PutUint16(f[6:], field)
		putHeaderChecksum(f[:n])
		return f
	}
	h := []byte{b[6], 0, 0, 0, 0, 0, 0, 0}
	field := uint16(from)
	if more {
		field |= 1
	}
	be.PutUint16(h[2:], field)
	be.PutUint32(h[4:], id)
	f := append(bytes.Clone(b[:HeaderLen6]), h...)
	f = append(f, b[HeaderLen6+from:HeaderLen6+to]...)
	f[6] = extensionFragment
	be.PutUint16(f[4:], uint16(len(f)-HeaderLen6))
	return f
}

// shred returns all fragments of b with up to size bytes each, a multiple of 8.
func (f family) shred(b []byte, id uint32, size int) [][]byte {
	var all [][]byte
	n := len(b) - f.header
	for from := 0; from < n; from += size {
		to := min(from+size, n)
		all = append(all, cut(b, id, from, to, to < n))
	}
	return all
}

// seeded returns a random source whose seed a failing test prints.
func seeded(t testing.TB, seed uint64) *rand.Rand {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}
