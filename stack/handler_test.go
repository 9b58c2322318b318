package stack_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tcpd/service"
	"tcpd/stack"
	"tcpd/tcp"
)

// counted is a service under test.
type counted interface {
	Serve(context.Context, net.Listener) error
	Snapshot() service.Snapshot
}

// ways are the two in which a service may get its connections: as calls, and, when it sees no more than a net.Listener, each
// in a goroutine. Nothing but their cost differs.
var ways = map[string]func(*stack.Listener) net.Listener{
	"events":     func(l *stack.Listener) net.Listener { return l },
	"goroutines": func(l *stack.Listener) net.Listener { return struct{ net.Listener }{l} },
}

// bothWays runs f with a client of s, with each way, family and number of queues.
func bothWays(t *testing.T, s func() counted, f func(t *testing.T, p *pair, s counted, addr string)) {
	for way, listener := range ways {
		t.Run(way, func(t *testing.T) {
			eachLayout(t, func(t *testing.T, addr string, queues int) {
				p := newPair(t, queues)
				s, l := s(), p.listen(addr, stack.ListenOptions{})
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- s.Serve(ctx, listener(l)) }()
				f(t, p, s, addr)
				cancel()
				if err := <-ended; err != nil {
					t.Errorf("Serve: %v", err)
				}
			})
		})
	}
}

// wantCounted waits until the only connection has ended for r.
func wantCounted(t *testing.T, s counted, r service.Reason) {
	t.Helper()
	var got service.Snapshot
	for range 20_000 {
		if got = s.Snapshot(); got.Accepted == 1 && got.Active == 0 && got.Ended[r] == 1 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("want one connection, ended with %v, got %+v", r, got)
}

func TestHandler_echo(t *testing.T) {
	bothWays(t, func() counted { return &service.Echo{} }, func(t *testing.T, p *pair, s counted, addr string) {
		c := p.dial(addr)
		sent, got := sha256.New(), sha256.New()
		go func() {
			_, _ = io.CopyN(io.MultiWriter(c, sent), rand.NewChaCha8([32]byte{1}), 3<<20)
			_ = c.CloseWrite()
		}()
		n, err := io.Copy(got, c)
		if err != nil || n != 3<<20 || !bytes.Equal(got.Sum(nil), sent.Sum(nil)) {
			t.Errorf("echoed %d bytes, %v; want the 3 MiB that were sent, then EOF", n, err)
		}
		c.Close()
		wantCounted(t, s, service.Finished)
	})
}

func TestHandler_reset(t *testing.T) {
	bothWays(t, func() counted { return &service.Echo{} }, func(t *testing.T, p *pair, s counted, addr string) {
		c := p.dial(addr)
		mustWrite(t, c, "hi")
		mustRead(t, c, "hi")
		c.SetLinger(0)
		c.Close()
		wantCounted(t, s, service.ClientReset)
	})
}

func TestHandler_discard(t *testing.T) {
	bothWays(t, func() counted { return &service.Discard{} }, func(t *testing.T, p *pair, s counted, addr string) {
		c := p.dial(addr)
		if _, err := io.CopyN(c, rand.NewChaCha8([32]byte{2}), 3<<20); err != nil {
			t.Fatal(err)
		}
		c.CloseWrite()
		mustEOF(t, c)
		c.Close()
		wantCounted(t, s, service.Finished)
	})
}

func TestHandler_chargen(t *testing.T) {
	bothWays(t, func() counted { return &service.Chargen{} }, func(t *testing.T, p *pair, s counted, addr string) {
		c := p.dial(addr)
		mustWrite(t, c, "ignored")
		c.CloseWrite()
		got := make([]byte, 1<<20)
		if _, err := io.ReadFull(c, got); err != nil {
			t.Fatalf("%v; the client's FIN must not end the stream", err)
		}
		const period = 95 * 74
		if string(got[:74+2]) != ` !"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`+"`abcdefg\r\n"+`!"` {
			t.Errorf("the stream begins with %q", got[:76])
		}
		for i := period; i < len(got); i++ {
			if got[i] != got[i-period] {
				t.Fatalf("the pattern breaks at byte %d", i)
			}
		}
		c.Close()
		wantCounted(t, s, service.ClientReset)
	})
}

// peeking is a handler that gives its connection up while it still has bytes borrowed.
type peeking func(stack.EventConn)

func (h peeking) Ready(c stack.EventConn) bool {
	if b, _ := c.Peek(100); len(b) > 0 {
		h(c)
	}
	return false
}

func (peeking) Closed() {}

// What a handler has borrowed goes back with the connection: one that panics between Peek and Discard, which a service
// survives, must not keep the record for ever.
func TestHandler_givesUpWithBytesBorrowed(t *testing.T) {
	for name, giveUp := range map[string]peeking{"Close": stack.EventConn.Close, "Reset": stack.EventConn.Reset} {
		for family, addr := range families {
			t.Run(name+"/"+family, func(t *testing.T) {
				p := newPair(t, 1)
				l := p.listen(addr, stack.ListenOptions{})
				l.SetHandler(func() stack.Handler { return giveUp })
				c := p.dial(addr)
				mustWrite(t, c, "hi")
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("read: %v, want a reset: what was sent was not taken", err)
				}
				if n := p.server.Stats(); n.Connections != 0 || n.MemoryUsed != 0 {
					t.Errorf("%d connections are left, and %d bytes", n.Connections, n.MemoryUsed)
				}
			})
		}
	}
}

// The end of the stack is counted as a blocked call would have seen it.
func TestHandler_stackCloses(t *testing.T) {
	bothWays(t, func() counted { return &service.Echo{} }, func(t *testing.T, p *pair, s counted, addr string) {
		c := p.dial(addr)
		mustWrite(t, c, "hi")
		mustRead(t, c, "hi")
		p.server.Close()
		wantCounted(t, s, service.ClientReset)
		if n := p.server.Stats().MemoryUsed; n != 0 {
			t.Errorf("%d bytes are still charged", n)
		}
	})
}

// When the listener closes, connections that run go on, and Drain waits for them.
func TestHandler_drains(t *testing.T) {
	bothWays(t, func() counted { return &service.Echo{} }, func(t *testing.T, p *pair, s counted, addr string) {
		c := p.dial(addr)
		mustWrite(t, c, "hi")
		mustRead(t, c, "hi")
		drained := make(chan error, 1)
		go func() { drained <- p.server.Drain(t.Context()) }()
		mustWrite(t, c, "still there?")
		mustRead(t, c, "still there?")
		select {
		case err := <-drained:
			t.Fatalf("drained with a connection open: %v", err)
		default:
		}
		c.CloseWrite()
		mustEOF(t, c)
		c.Close()
		if err := <-drained; err != nil {
			t.Error(err)
		}
		wantCounted(t, s, service.Finished)
	})
}

// Idle connections need no goroutine.
func TestHandler_noGoroutineEach(t *testing.T) {
	p := newPair(t, 1)
	l := p.listen("10.77.0.2:80", stack.ListenOptions{})
	s := &service.Echo{}
	go s.Serve(t.Context(), l)
	const n = 200
	var all []*stack.Conn
	p.dial("10.77.0.2:80").Close()
	before := runtime.NumGoroutine()
	for range n {
		c := p.dial("10.77.0.2:80")
		mustWrite(t, c, "x")
		mustRead(t, c, "x")
		all = append(all, c)
	}
	if more := runtime.NumGoroutine() - before; more > n/10 {
		t.Errorf("%d goroutines more with %d connections", more, n)
	}
	for _, c := range all {
		c.Close()
	}
}

// TestHandler_bulkLeavesInFullSegments: what goes on at once does not end in a small segment, neither what one long Write sends in
// pieces nor what an echo answers. The last bytes do not wait.
func TestHandler_bulkLeavesInFullSegments(t *testing.T) {
	const size = 4<<20 + 100
	for family, addr := range families {
		t.Run(family, func(t *testing.T) {
			clock := stack.NewVirtualClock()
			use := func(c *stack.Config) { c.Clock, c.Options = clock, tcp.Options{NoDelay: true} }
			p := newPair(t, 1, use, use)
			l := p.listen(addr, stack.ListenOptions{})
			echo := &service.Echo{}
			ended := make(chan error, 1)
			go func() { ended <- echo.Serve(t.Context(), l) }()
			c := p.dial(addr)
			go func() { _, _ = c.Write(make([]byte, size)) }()
			if n, err := io.CopyN(io.Discard, c, size); err != nil {
				t.Fatalf("%d bytes came back, then %v", n, err)
			}
			clock.Settle()
			i := c.Info()
			full := (size + int(i.MSS) - 1) / int(i.MSS)
			t.Logf("%d bytes in %d segments, back in %d; full ones would be %d", size, i.DataSegmentsOut, i.DataSegmentsIn, full)
			if int(i.DataSegmentsOut) > full+1 || int(i.DataSegmentsIn) > full+1 {
				t.Error("more than one is small")
			}
			mustWrite(t, c, "x")
			clock.Settle()
			mustRead(t, c, "x")
			c.Close()
			l.Close()
			<-ended
		})
	}
}

// lineHandler waits for a whole line, or for the end.
type lineHandler struct{ got chan string }

func (h lineHandler) Ready(c stack.EventConn) bool {
	b, err := c.Peek(1000)
	switch {
	case err != nil:
		h.got <- err.Error()
		c.Close()
	case len(b) > 0 && b[len(b)-1] == '\n':
		h.got <- string(b)
		c.Discard(len(b))
	default:
		c.Discard(0) // not whole yet
	}
	return false
}

func (lineHandler) Closed() {}

// Ready is called when bytes have come, also when there were some before that the handler left.
func TestHandler_waitsForMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 1, noDelay, noDelay)
		h := lineHandler{make(chan string, 1)}
		p.listen("10.77.0.2:80", stack.ListenOptions{}).SetHandler(func() stack.Handler { return h })
		c := p.dial("10.77.0.2:80")
		mustWrite(t, c, "half")
		synctest.Wait()
		mustWrite(t, c, " a line\n")
		synctest.Wait()
		select {
		case s := <-h.got:
			if s != "half a line\n" {
				t.Errorf("got %q", s)
			}
		default:
			t.Error("Ready was not called when more bytes came")
		}
		p.server.Close()
		p.client.Close()
	})
}

// closingHandler goes on with a connection that it has closed.
type closingHandler struct{ ended chan error }

func (h closingHandler) Ready(c stack.EventConn) bool {
	c.Close()
	_ = c.RemoteAddr() // for the log
	_, err := c.Write([]byte("x"))
	c.Reset()
	h.ended <- err
	return false
}

func (closingHandler) Closed() {}

// A connection that was given up in this call fails, and has its addresses, as any net.Conn.
func TestHandler_afterClose(t *testing.T) {
	p := newPair(t, 1)
	h := closingHandler{make(chan error, 1)}
	p.listen("10.77.0.2:80", stack.ListenOptions{}).SetHandler(func() stack.Handler { return h })
	p.dial("10.77.0.2:80")
	wantError(t, "Write after Close", <-h.ended, net.ErrClosed)
}

// A client that vanishes after its FIN is counted as one that timed out.
func TestProxy_timeoutAfterFIN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 1, noDelay, noDelay)
		near, far := net.Pipe()
		px := &service.Proxy{To: "x:1", Dial: func(context.Context, string, string) (net.Conn, error) { return finPipe{near}, nil }}
		l := p.listen("10.77.0.2:80", stack.ListenOptions{})
		go px.Serve(t.Context(), struct{ net.Listener }{l})
		c := p.dial("10.77.0.2:80")
		mustWrite(t, c, "q")
		mustRead(t, far, "q")
		c.CloseWrite()
		synctest.Wait()
		p.ends[0].SetMTU(0) // from here on neither hears the other
		p.ends[1].SetMTU(0)
		far.Write([]byte("answer"))
		time.Sleep(50 * time.Minute)
		s := px.Snapshot()
		for r, n := range s.Ended {
			if n > 0 && service.Reason(r) != service.ClientTimeout {
				t.Errorf("ended with %v, want %v", service.Reason(r), service.ClientTimeout)
			}
		}
		far.Close()
		p.server.Close()
		p.client.Close()
	})
}

type finPipe struct{ net.Conn }

func (finPipe) CloseWrite() error { return nil }
