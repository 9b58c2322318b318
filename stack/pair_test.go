package stack_test

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"tcpd/stack"
	"tcpd/tcp"
)

// pair is two stacks with a link between them.
type pair struct {
	t              testing.TB
	server, client *stack.Stack
	ends           [2]*stray // of server and client
}

var (
	serverAddrs = prefixes("10.77.0.2/24", "fd77::2/64")
	clientAddrs = prefixes("10.77.0.1/24", "fd77::1/64")
	// families are the addresses of the server, for tests that run with both.
	families = map[string]string{"IPv4": "10.77.0.2:80", "IPv6": "[fd77::2]:80"}
)

func prefixes(list ...string) (p []netip.Prefix) {
	for _, s := range list {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

// newPair starts both with configurations that the edits have changed: the first that of the server, the second that of the
// client. With several queues, packets come by any of them. In the end it checks that every packet was accounted for.
func newPair(t testing.TB, queues int, edits ...func(*stack.Config)) *pair {
	t.Helper()
	p := &pair{t: t}
	seed := rand.Uint64()
	if queues > 1 {
		t.Logf("packets take queues by seed %d", seed)
	}
	p.ends[0], p.ends[1] = newStray(1500, queues, 4096, seed)
	for i, addrs := range [][]netip.Prefix{serverAddrs, clientAddrs} {
		cfg := stack.Config{Link: p.ends[i], Addresses: addrs, Secret: [16]byte{byte(i) + 1}, Seed: uint64(i) + 1}
		if i < len(edits) && edits[i] != nil {
			edits[i](&cfg)
		}
		s, err := stack.New(cfg)
		if err != nil {
			t.Fatalf("stack.New: %v", err)
		}
		t.Cleanup(func() { p.end(s) })
		if i == 0 {
			p.server = s
		} else {
			p.client = s
		}
	}
	return p
}

func (p *pair) end(s *stack.Stack) {
	if err := s.Close(); err != nil {
		p.t.Errorf("Close: %v", err)
	}
	st := s.Stats()
	if n := st.Unaccounted(); n != 0 {
		p.t.Errorf("%d packets have no end: in %d, delivered %d, drops %v %v %v", n, st.PacketsIn, st.Delivered, st.Drops,
			st.IPDrops, st.TCPDrops)
	}
}

// listen is ListenTCP of the server; ":80" is a port of any address.
func (p *pair) listen(addr string, o stack.ListenOptions) *stack.Listener {
	p.t.Helper()
	if addr[0] == ':' {
		addr = "[::]" + addr
	}
	l, err := p.server.ListenTCP(netip.MustParseAddrPort(addr), o)
	if err != nil {
		p.t.Fatalf("ListenTCP(%s): %v", addr, err)
	}
	return l
}

// dial is Dial of the client.
func (p *pair) dial(addr string) *stack.Conn {
	p.t.Helper()
	c, err := p.client.DialTCP(context.Background(), netip.MustParseAddrPort(addr), nil)
	if err != nil {
		p.t.Fatalf("DialTCP(%s): %v", addr, err)
	}
	return c
}

// connect returns both ends of a connection: the client's first.
func (p *pair) connect(addr string) (client, server *stack.Conn) {
	p.t.Helper()
	l := p.listen(addr, stack.ListenOptions{})
	defer l.Close()
	client = p.dial(addr)
	return client, accept(p.t, l)
}

func accept(t testing.TB, l net.Listener) *stack.Conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatalf("Accept: %v", err)
	}
	return c.(*stack.Conn)
}

func mustWrite(t testing.TB, c net.Conn, s string) {
	t.Helper()
	if n, err := c.Write([]byte(s)); n != len(s) || err != nil {
		t.Fatalf("Write(%q) = %d, %v", s, n, err)
	}
}

func mustRead(t testing.TB, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
		t.Fatalf("read %q, %v, want %q", b, err, want)
	}
}

func mustEOF(t testing.TB, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("Read = %d, %v, want EOF", n, err)
	}
}

// noDelay is options without Nagle, so that small exchanges do not wait.
func noDelay(c *stack.Config) {
	c.Options = tcp.DefaultOptions()
	c.Options.NoDelay = true
}
