package stack_test

import (
	"context"
	"io"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"tcpd/stack"
	"tcpd/tcp"
)

// TestDialData: the first connection brings a cookie, the second its data with the SYN.
func TestDialData(t *testing.T) {
	for name, address := range families {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1)
			at := netip.MustParseAddrPort(address)
			o := tcp.DefaultOptions()
			o.FastOpen = tcp.FastOpenServer
			l, err := p.server.ListenTCP(at, stack.ListenOptions{Options: &o})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			for i, want := range []bool{false, true, true} {
				c, err := p.client.DialData(context.Background(), at, []byte("hello"), nil)
				if err != nil {
					t.Fatal(err)
				}
				s, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				b := make([]byte, 5)
				if _, err := io.ReadFull(s, b); err != nil || string(b) != "hello" {
					t.Fatalf("read %q, %v", b, err)
				}
				info := c.Info()
				other := s.(*stack.Conn).Info()
				if info.SynData != want || other.SynData != want {
					t.Errorf("connection %d: data with the SYN: %v at the client, %v at the server", i, info.SynData, other.SynData)
				}
				c.Close()
				s.Close()
			}
		})
	}
}

// TestDialData_more: what the SYN does not take follows.
func TestDialData_more(t *testing.T) {
	p := newPair(t, 1)
	at := netip.MustParseAddrPort(families["IPv4"])
	o := tcp.DefaultOptions()
	o.FastOpen = tcp.FastOpenServer
	l, err := p.server.ListenTCP(at, stack.ListenOptions{Options: &o})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sent := make([]byte, 3<<20)
	for i := range sent {
		sent[i] = byte(i * 7 >> 3)
	}
	for range 2 {
		got := make(chan []byte)
		go func() {
			s, err := l.Accept()
			if err != nil {
				close(got)
				return
			}
			b, _ := io.ReadAll(s)
			s.Close()
			got <- b
		}()
		c, err := p.client.DialData(context.Background(), at, sent, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if b := <-got; string(b) != string(sent) {
			t.Errorf("%d bytes arrived, not the %d that were sent", len(b), len(sent))
		}
	}
}

// The context bounds all of the call, also what does not fit into the buffers of a peer that reads nothing.
func TestDialData_context(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 1, noDelay, noDelay)
		p.listen("10.77.0.2:80", stack.ListenOptions{}) // nobody accepts
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := p.client.DialData(ctx, netip.MustParseAddrPort("10.77.0.2:80"), make([]byte, 64<<20), nil)
		wantError(t, "DialData", err, context.DeadlineExceeded)
		if took := time.Since(began); took != time.Second {
			t.Errorf("it returned after %v, want a second", took)
		}
		p.server.Close()
		p.client.Close()
	})
}
