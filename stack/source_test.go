package stack_test

import (
	"net/netip"
	"testing"

	"tcpd/stack"
)

// An open that names no local address gets the one that fits the destination: of its family, and of its network before others;
// it stays that of the connection (RFC 9293, MUST-44, MUST-45).
func TestDialSource(t *testing.T) {
	more := func(c *stack.Config) {
		c.Addresses = prefixes("192.0.2.1/24", "2001:db8::1/64", "10.77.0.1/24", "fd77::1/64")
	}
	for name, addr := range families {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1, nil, more)
			c, s := p.connect(addr)
			want := map[string]string{"IPv4": "10.77.0.1", "IPv6": "fd77::1"}[name]
			local := func() netip.Addr { return netip.MustParseAddrPort(c.LocalAddr().String()).Addr() }
			if got := local(); got != netip.MustParseAddr(want) || s.RemoteAddr().String() != c.LocalAddr().String() {
				t.Errorf("the connection to %s is from %v, the other end sees %v; want %s", addr, got, s.RemoteAddr(), want)
			}
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 1)
			if _, err := s.Read(b); err != nil || local() != netip.MustParseAddr(want) {
				t.Errorf("after data: %v, from %v", err, local())
			}
			c.Close()
			s.Close()
		})
	}
}
