package stack_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tcpd/stack"
	"tcpd/tcp"
	"tcpd/tun"
)

func TestConfigErrors(t *testing.T) {
	link := func() stack.Link { l, _ := tun.NewMemory(1500, 1, 1); return l }
	tests := map[string]struct {
		cfg  stack.Config
		want string
	}{
		"no link":       {stack.Config{Addresses: serverAddrs}, "Config.Link"},
		"no addresses":  {stack.Config{Link: link()}, "Config.Addresses"},
		"invalid":       {stack.Config{Link: link(), Addresses: []netip.Prefix{{}}}, "not valid"},
		"mapped prefix": {stack.Config{Link: link(), Addresses: prefixes("::ffff:10.0.0.1/120")}, "not valid"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := stack.New(test.cfg); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("New: %v, want an error with %q", err, test.want)
			}
		})
	}
}

// Close never lets a cut stream look complete.
func TestStackCloseResets(t *testing.T) {
	eachWay(t, func(t *testing.T, addr string, queues int) {
		p := newPair(t, queues)
		l := p.listen(addr, stack.ListenOptions{})
		c := p.dial(addr)
		s := accept(t, l)
		pending := p.dial(addr)
		blocked := make(chan error)
		go func() {
			_, err := s.Read(make([]byte, 1))
			blocked <- err
		}()
		synctest.Wait()
		p.server.Close()
		wantError(t, "the server's Read", <-blocked, syscall.ECONNABORTED)
		for _, c := range []*stack.Conn{c, pending} {
			_, err := c.Read(make([]byte, 1))
			wantError(t, "the client's Read", err, syscall.ECONNRESET)
		}
		_, err := l.Accept()
		wantError(t, "Accept", err, net.ErrClosed)
		_, err = p.server.Listen("tcp", ":81")
		wantError(t, "Listen", err, net.ErrClosed)
		_, err = p.server.Dial("tcp", "10.77.0.1:80")
		wantError(t, "Dial", err, net.ErrClosed)
		<-p.server.Done()
		wantError(t, "Err", p.server.Err(), net.ErrClosed)
		if err := s.Close(); err != nil {
			t.Errorf("Close of a connection that the stack ended: %v", err)
		}
		wantError(t, "second Close", s.Close(), net.ErrClosed)
	})
}

func TestDrain(t *testing.T) {
	eachWay(t, func(t *testing.T, addr string, queues int) {
		p := newPair(t, queues)
		l := p.listen(addr, stack.ListenOptions{})
		c := p.dial(addr)
		s := accept(t, l)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantError(t, "Drain with a connection", p.server.Drain(ctx), context.DeadlineExceeded)
		_, err := l.Accept()
		wantError(t, "Accept", err, net.ErrClosed)
		_, err = p.client.Dial("tcp", addr)
		wantError(t, "Dial", err, syscall.ECONNREFUSED)

		drained := make(chan error)
		go func() { drained <- p.server.Drain(t.Context()) }()
		mustWrite(t, c, "still served")
		mustRead(t, s, "still served")
		s.Close()
		synctest.Wait()
		select {
		case err := <-drained:
			t.Fatalf("Drain returned %v before the client had closed", err)
		default:
		}
		mustEOF(t, c)
		c.Close()
		if err := <-drained; err != nil {
			t.Errorf("Drain: %v", err)
		}
	})
}

func TestLinkFails(t *testing.T) {
	eachWay(t, func(t *testing.T, addr string, queues int) {
		p := newPair(t, queues)
		c, s := p.connect(addr)
		p.ends[0].Close()
		<-p.server.Done()
		wantError(t, "Err", p.server.Err(), os.ErrClosed)
		_, err := s.Read(make([]byte, 1))
		wantError(t, "Read", err, syscall.ECONNABORTED)
		_ = c
	})
}

func TestAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 2)
		for range 3 {
			if err := p.server.Alive(t.Context()); err != nil {
				t.Errorf("Alive: %v", err)
			}
			time.Sleep(time.Second)
		}
		p.server.Close()
		wantError(t, "Alive after Close", p.server.Alive(t.Context()), net.ErrClosed)
	})
}

// In real time: a bubble's does not pass while somebody waits for a mutex.
func TestAliveNoticesHang(t *testing.T) {
	link := &hangingLink{hung: make(chan struct{}), resume: make(chan struct{})}
	p := newPair(t, 1, func(c *stack.Config) { link.Link, c.Link = c.Link, link })
	dialled := make(chan struct{})
	go func() {
		defer close(dialled)
		p.client.Dial("tcp", families["IPv4"])
	}()
	<-link.hung // the server's loop, in answering, with the lock
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	wantError(t, "Alive", p.server.Alive(ctx), context.DeadlineExceeded)
	if p.server.Alive(t.Context()) == nil {
		t.Error("Alive while the previous call's proof is awaited: no error")
	}
	close(link.resume)
	<-dialled
	for p.server.Alive(t.Context()) != nil {
		runtime.Gosched()
	}
}

func TestMTUFollowed(t *testing.T) {
	eachWay(t, func(t *testing.T, addr string, queues int) {
		p := newPair(t, queues)
		c, _ := p.connect(addr)
		if i := c.Info(); i.PathMTU != 1500 {
			t.Fatalf("path MTU %d, want 1500", i.PathMTU)
		}
		for _, e := range p.ends {
			e.SetMTU(1300)
		}
		c.Close() // packets arrive at both
		synctest.Wait()
		c, _ = p.connect(addr)
		if i := c.Info(); i.PathMTU != 1300 {
			t.Errorf("path MTU %d after the link's MTU became 1300", i.PathMTU)
		}
	})
}

// A sender whose packets are all lost since the link has become narrower hears of nobody; it finds out when it sends again.
func TestMTUFollowed_inSilence(t *testing.T) {
	eachWay(t, func(t *testing.T, addr string, queues int) {
		p := newPair(t, queues)
		c, s := p.connect(addr)
		synctest.Wait()
		for _, e := range p.ends {
			e.SetMTU(1300)
		}
		b := strings.Repeat("too long now ", 107)
		mustWrite(t, c, b)
		mustRead(t, s, b)
		if i := c.Info(); i.PathMTU != 1300 || i.Retransmits == 0 {
			t.Errorf("path MTU %d, %d retransmissions", i.PathMTU, i.Retransmits)
		}
	})
}

// Limits are those of all shards together, wherever the connections fall.
func TestLimits_ofAllShards(t *testing.T) {
	eachWay(t, func(t *testing.T, addr string, queues int) {
		const limit = 5
		p := newPair(t, queues, func(c *stack.Config) { c.Limits.Connections = limit })
		p.listen(":80", stack.ListenOptions{})
		for i := range limit {
			if _, err := p.client.Dial("tcp", addr); err != nil {
				t.Fatalf("connection %d of %d: %v", i+1, limit, err)
			}
			synctest.Wait() // for the server to have it, too
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if c, err := p.client.DialContext(ctx, "tcp", addr); err == nil {
			t.Errorf("one more than %d was accepted: %v", limit, c.LocalAddr())
		}
		if st := p.server.Stats(); st.Connections != limit || st.TCPDrops[tcp.DropConnections] == 0 {
			t.Errorf("%d connections, want %d; %d SYNs dropped for it", st.Connections, limit, st.TCPDrops[tcp.DropConnections])
		}
	})
}

func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 1)
		o := tcp.DefaultOptions()
		o.Congestion = tcp.Reno
		p.client.SetOptions(o)
		c, _ := p.connect(families["IPv4"])
		if got := c.Info().Congestion; got != tcp.Reno {
			t.Errorf("congestion control %v after SetOptions, want reno", got)
		}
		p.client.SetLimits(stack.Limits{Connections: 1})
		_, err := p.client.Dial("tcp", families["IPv4"])
		wantError(t, "Dial beyond the limit", err, syscall.ENFILE)
		p.client.SetLimits(stack.Limits{Memory: 1})
		_, err = p.client.Dial("tcp", families["IPv4"])
		wantError(t, "Dial without memory", err, syscall.ENOBUFS)
	})
}

// Connections whose application has closed them go on by themselves.
func TestCloseDelivers(t *testing.T) {
	eachWay(t, func(t *testing.T, addr string, queues int) {
		c, s := newPair(t, queues).connect(addr)
		go func() {
			s.Write(make([]byte, 1<<20))
			s.Close()
		}()
		if got, err := io.ReadAll(c); len(got) != 1<<20 || err != nil {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
	})
}

// The budget bounds what peers can make us keep; what services read makes room, and all streams come whole in the end.
func TestMemoryPressure(t *testing.T) {
	eachWay(t, func(t *testing.T, addr string, queues int) {
		p := newPair(t, queues, func(c *stack.Config) { c.Limits.Memory = 512 << 10 })
		l := p.listen(addr, stack.ListenOptions{})
		var served []*stack.Conn
		for range 8 {
			c := p.dial(addr)
			served = append(served, accept(t, l))
			go func() {
				c.Write(make([]byte, 256<<10))
				c.CloseWrite()
			}()
		}
		time.Sleep(time.Second)
		if st := p.server.Stats(); st.MemoryUsed > st.MemoryLimit || st.MemoryUsed < st.MemoryLimit/2 {
			t.Errorf("%d bytes in use, the limit is %d", st.MemoryUsed, st.MemoryLimit)
		}
		var readers sync.WaitGroup
		for _, s := range served {
			readers.Go(func() {
				if got, err := io.ReadAll(s); len(got) != 256<<10 || err != nil {
					t.Errorf("read %d bytes, %v", len(got), err)
				}
			})
		}
		readers.Wait()
	})
}

func TestUseAfterClose(t *testing.T) {
	p := newPair(t, 1)
	c, _ := p.connect(families["IPv4"])
	c.Close()
	if i := c.Info(); i.State != tcp.Closed {
		t.Errorf("state %v after Close", i.State)
	}
	c.Describe()
	wantError(t, "CloseWrite", c.CloseWrite(), net.ErrClosed)
	wantError(t, "SetNoDelay", c.SetNoDelay(true), net.ErrClosed)
	if !errors.Is(c.SetLinger(0), net.ErrClosed) {
		t.Error("SetLinger after Close: no error")
	}
}

// A stream that its application has closed and the stack cuts short ends in RST, as all others do.
func TestStackCloseResetsClosed(t *testing.T) {
	eachWay(t, func(t *testing.T, addr string, queues int) {
		p := newPair(t, queues)
		c, s := p.connect(addr)
		c.SetReadDeadline(time.Now().Add(time.Minute))
		go func() {
			for range 64 {
				s.Write(make([]byte, 64<<10))
			}
		}()
		synctest.Wait() // both buffers are full
		s.Close()
		p.server.Close()
		got, err := io.ReadAll(c)
		if len(got) == 64*64<<10 {
			t.Fatal("nothing was cut short")
		}
		wantError(t, "Read after what arrived", err, syscall.ECONNRESET)
	})
}

// All calls of Drain return when the last connection has ended.
func TestDrain_twice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 1, noDelay, noDelay)
		_, server := p.connect("10.77.0.2:80")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ended := make(chan error)
		for range 2 {
			go func() { ended <- p.server.Drain(ctx) }()
		}
		synctest.Wait()
		server.SetLinger(0)
		server.Close()
		for range 2 {
			if err := <-ended; err != nil {
				t.Errorf("Drain: %v, with %d connections", err, p.server.Stats().Connections)
			}
		}
		p.server.Close()
		p.client.Close()
	})
}

// One call after the other is one at a time.
func TestAlive_again(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8))
	p := newPair(t, 1)
	for i := range 100_000 {
		if err := p.server.Alive(t.Context()); err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
	}
}

// It returns when the stack has ended meanwhile.
func TestAlive_whileClosing(t *testing.T) {
	for i := range 300 {
		p := newPair(t, 2)
		ended := make(chan error, 1)
		go func() { ended <- p.server.Alive(context.Background()) }()
		for range i % 50 {
			runtime.Gosched()
		}
		p.server.Close()
		p.client.Close()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatalf("run %d: Alive has not returned 10 s after the stack ended (%v)", i, p.server.Err())
		}
	}
}
