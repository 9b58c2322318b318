package stack_test

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tcpd/stack"
	"tcpd/tcp"
)

func TestListenErrors(t *testing.T) {
	p := newPair(t, 2)
	p.listen(":80", stack.ListenOptions{})
	tests := map[string]struct {
		network, addr string
		want          error
	}{
		"in use":   {"tcp", ":80", syscall.EADDRINUSE},
		"not ours": {"tcp", "10.77.0.3:80", syscall.EADDRNOTAVAIL},
		"network":  {"udp", ":81", nil},
		"nonsense": {"tcp", "10.77.0.2", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l, err := p.server.Listen(test.network, test.addr)
			if err == nil {
				l.Close()
				t.Fatal("no error")
			}
			if test.want != nil {
				wantError(t, "Listen", err, test.want)
			}
		})
	}
}

// A listener that failed on one shard leaves nothing on others, and one that is closed leaves its address free.
func TestListenAgain(t *testing.T) {
	p := newPair(t, 4)
	for range 3 {
		l, err := p.server.Listen("tcp", "10.77.0.2:80")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.server.Listen("tcp", "10.77.0.2:80"); err == nil {
			t.Fatal("the same address twice")
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		wantError(t, "second Close", l.Close(), net.ErrClosed)
	}
}

func TestListenFreePort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 2)
		for _, a := range []string{"10.77.0.2:0", "[fd77::2]:0"} {
			l, err := p.server.Listen("tcp", a)
			if err != nil {
				t.Fatal(err)
			}
			c, err := p.client.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatalf("Dial(%v): %v", l.Addr(), err)
			}
			s := accept(t, l)
			if s.LocalAddr().String() != l.Addr().String() || s.RemoteAddr().String() != c.LocalAddr().String() {
				t.Errorf("accepted %v - %v, dialled %v - %v", s.LocalAddr(), s.RemoteAddr(), c.LocalAddr(), c.RemoteAddr())
			}
		}
	})
}

// What the networks and unspecified addresses stand for.
func TestListenFamilies(t *testing.T) {
	tests := []struct {
		network, addr string
		v4, v6        bool
	}{
		{"tcp", ":80", true, true},
		{"tcp4", ":80", true, false},
		{"tcp6", ":80", false, true},
		{"tcp", "0.0.0.0:80", true, false},
		{"tcp", "[::]:80", true, true},
	}
	for _, test := range tests {
		t.Run(test.network+" "+test.addr, func(t *testing.T) {
			p := newPair(t, 1)
			if _, err := p.server.Listen(test.network, test.addr); err != nil {
				t.Fatal(err)
			}
			for family, want := range map[string]bool{"IPv4": test.v4, "IPv6": test.v6} {
				_, err := p.client.Dial("tcp", families[family])
				if (err == nil) != want {
					t.Errorf("%s: %v", family, err)
				}
			}
		})
	}
}

func TestAcceptManyCallers(t *testing.T) {
	p := newPair(t, 2)
	l := p.listen(":80", stack.ListenOptions{})
	const n = 200
	var accepted, callers sync.WaitGroup
	accepted.Add(n)
	for range 4 {
		callers.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					wantError(t, "Accept", err, net.ErrClosed)
					return
				}
				c.Close()
				accepted.Done()
			}
		})
	}
	for i := range n {
		c := p.dial([]string{families["IPv4"], families["IPv6"]}[i%2])
		defer c.Close()
	}
	accepted.Wait()
	l.Close()
	callers.Wait()
}

func TestBacklog(t *testing.T) {
	eachWay(t, func(t *testing.T, addr string, queues int) {
		p := newPair(t, queues)
		l := p.listen(addr, stack.ListenOptions{Backlog: 2})
		dials := make(chan error)
		for range 5 {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				_, err := p.client.DialContext(ctx, "tcp", addr)
				dials <- err
			}()
		}
		established := 0
		for range 5 {
			if <-dials == nil {
				established++
			}
		}
		// The last acknowledgement of a handshake that meets a full queue is dropped, and the client believes it is
		// connected until it hears otherwise; but no more than the queue holds reach the application.
		if established < 2 {
			t.Errorf("%d of 5 connections established with a backlog of 2", established)
		}
		for range 2 {
			accept(t, l)
		}
	})
}

func TestListenerCloseResetsPending(t *testing.T) {
	eachWay(t, func(t *testing.T, addr string, queues int) {
		p := newPair(t, queues)
		l := p.listen(addr, stack.ListenOptions{})
		served := p.dial(addr)
		s := accept(t, l)
		waiting := p.dial(addr)
		synctest.Wait()
		l.Close()
		_, err := waiting.Read(make([]byte, 1))
		wantError(t, "Read of the one that waited", err, syscall.ECONNRESET)
		_, err = l.Accept()
		wantError(t, "Accept", err, net.ErrClosed)
		mustWrite(t, served, "x")
		mustRead(t, s, "x")
	})
}

func TestAttempts(t *testing.T) {
	eachWay(t, func(t *testing.T, addr string, queues int) {
		p := newPair(t, queues)
		l := p.listen(addr, stack.ListenOptions{Hold: true})
		type dialled struct {
			conn net.Conn
			err  error
		}
		start := func(ctx context.Context) chan dialled {
			ch := make(chan dialled, 1)
			go func() {
				c, err := p.client.DialContext(ctx, "tcp", addr)
				ch <- dialled{c, err}
			}()
			return ch
		}
		next := func() *stack.Attempt {
			a, err := l.NextAttempt()
			if err != nil {
				t.Fatal(err)
			}
			return a
		}

		d := start(t.Context())
		a := next()
		if a.LocalAddr().String() != addr {
			t.Errorf("the attempt is for %v, want %s", a.LocalAddr(), addr)
		}
		select {
		case <-d:
			t.Fatal("the SYN was answered before Accept")
		default:
		}
		s, err := a.Accept()
		if err != nil {
			t.Fatalf("Accept: %v", err)
		}
		c := <-d
		mustWrite(t, c.conn, "x")
		mustRead(t, s, "x")

		d = start(t.Context())
		next().Reject()
		wantError(t, "Dial of the rejected", (<-d).err, syscall.ECONNREFUSED)

		start(t.Context())
		a = next()
		l.Close()
		<-a.Done()
		_, err = a.Accept()
		wantError(t, "Accept after the listener closed", err, syscall.ECONNABORTED)
		_, err = l.NextAttempt()
		wantError(t, "NextAttempt", err, net.ErrClosed)
	})
}

func TestAttemptGivenUp(t *testing.T) {
	eachWay(t, func(t *testing.T, addr string, queues int) {
		p := newPair(t, queues)
		l := p.listen(addr, stack.ListenOptions{Hold: true})
		go p.client.Dial("tcp", addr)
		a, err := l.NextAttempt()
		if err != nil {
			t.Fatal(err)
		}
		p.client.Close()
		<-a.Done() // the record of an attempt is not kept for ever
		_, err = a.Accept()
		wantError(t, "Accept", err, syscall.ECONNABORTED)
	})
}

func TestPerSourceLimits(t *testing.T) {
	for family, addr := range families {
		t.Run("connections "+family, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, 2, func(c *stack.Config) { c.Limits.PerSource.Connections = 2 })
				l := p.listen(addr, stack.ListenOptions{})
				var served []*stack.Conn
				for range 2 {
					p.dial(addr)
					served = append(served, accept(t, l))
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				_, err := p.client.DialContext(ctx, "tcp", addr)
				wantError(t, "Dial of the third", err, context.DeadlineExceeded)
				if n := p.server.Stats().Drops[stack.DropSourceConnections]; n == 0 {
					t.Error("no SYN was counted as one too many")
				}
				served[0].Close()
				p.dial(addr)
				accept(t, l)
			})
		})
		t.Run("rate "+family, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, 2, func(c *stack.Config) { c.Limits.PerSource.NewPerSecond = 5 })
				l := p.listen(addr, stack.ListenOptions{})
				start := time.Now()
				for range 15 {
					p.dial(addr)
					accept(t, l)
				}
				if d := time.Since(start); d < 2*time.Second {
					t.Errorf("15 connections in %v, at a rate of 5 in a second", d)
				}
				if n := p.server.Stats().Drops[stack.DropSourceRate]; n == 0 {
					t.Error("no SYN was counted as too soon")
				}
			})
		})
	}
}

// A prefix without host bits stands for all its addresses.
func TestWholePrefix(t *testing.T) {
	p := newPair(t, 1, func(c *stack.Config) { c.Addresses = prefixes("192.0.2.0/24", "2001:db8::/64") })
	l := p.listen(":80", stack.ListenOptions{})
	for _, a := range []string{"192.0.2.1:80", "192.0.2.200:80", "[2001:db8::1]:80", "[2001:db8::ffff:1]:80"} {
		c := p.dial(a)
		if s := accept(t, l); s.LocalAddr().String() != a {
			t.Errorf("accepted at %v, dialled %s", s.LocalAddr(), a)
		}
		c.Close()
	}
	if _, err := p.server.ListenTCP(netip.MustParseAddrPort("192.0.2.7:81"), stack.ListenOptions{}); err != nil {
		t.Errorf("ListenTCP at one of the addresses: %v", err)
	}
}

// A listener without options of its own has those of the stack, however soon they change.
func TestListen_followsOptions(t *testing.T) {
	p := newPair(t, 2)
	for i := range 1000 {
		p.server.SetOptions(tcp.Options{TTL: 10})
		var l *stack.Listener
		var both sync.WaitGroup
		both.Go(func() { p.server.SetOptions(tcp.Options{TTL: 20}) })
		both.Go(func() { l = p.listen("10.77.0.2:80", stack.ListenOptions{}) })
		both.Wait()
		c := p.dial("10.77.0.2:80")
		s := accept(t, l)
		for x := range p.server.Conns() {
			if d, ok := p.server.Conn(x.ID); ok && d.State == tcp.Established && d.Options.TTL != 20 {
				t.Fatalf("run %d: TTL %d; the stack's is 20", i, d.Options.TTL)
			}
		}
		for _, x := range []*stack.Conn{c, s} {
			x.SetLinger(0)
			x.Close()
		}
		l.Close()
	}
}

// As with package net, there is no listener beside an error.
func TestListen_errorIsAlone(t *testing.T) {
	p := newPair(t, 1)
	if l, err := p.server.Listen("tcp", "192.0.2.1:80"); err == nil || l != nil {
		t.Errorf("Listen = %T, %v; want nil and an error", l, err)
	}
}
