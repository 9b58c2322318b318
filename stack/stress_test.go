package stack_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tcpd/service"
	"tcpd/stack"
	"tcpd/tcp"
)

// TestStress: many connections in every stage of life, with little memory, while limits, options, listeners and the recorder change.
// What is read is what was written, and nothing of it is left.
func TestStress(t *testing.T) {
	for _, queues := range []int{1, 2, 4} {
		t.Run(fmt.Sprintf("queues %d", queues), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testStress(t, queues) })
		})
	}
}

func testStress(t *testing.T, queues int) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	asks := func(c *stack.Config) { noDelay(c); c.Options.KeepAlive = asksSoon }
	small := func(c *stack.Config) { asks(c); c.Limits.Memory, c.Recorder = 600<<10, true }
	p := newPair(t, queues, small, asks)
	var services, clients sync.WaitGroup
	for port, way := range map[string]string{"80": "events", "81": "goroutines"} {
		l := p.listen(":"+port, stack.ListenOptions{})
		services.Go(func() { _ = (&service.Echo{}).Serve(t.Context(), ways[way](l)) })
	}
	for i := range 24 {
		clients.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for range 12 {
				live(t, p, r)
			}
		})
	}
	done := make(chan struct{})
	go func() { clients.Wait(); close(done) }()
	r := rand.New(rand.NewPCG(seed, 99))
	for over := false; !over; {
		change(p, r)
		select {
		case <-done:
			over = true
		case <-time.After(time.Duration(r.IntN(3000)) * time.Microsecond):
		}
	}
	time.Sleep(30 * time.Minute) // virtual; what was given up without an answer ends
	for who, s := range map[string]*stack.Stack{"server": p.server, "client": p.client} {
		if st := s.Stats(); st.MemoryUsed != 0 || st.Connections != 0 || st.TimeWait != 0 || st.HalfOpen != 0 {
			t.Errorf("%s: %d bytes, %d connections, %d in TIME-WAIT, %d half-open are left", who, st.MemoryUsed,
				st.Connections, st.TimeWait, st.HalfOpen)
		}
	}
	p.server.Close()
	services.Wait()
}

// asksSoon finds the connections that nobody has at the other end. Where packets overtake each other, the ACK of a handshake may be
// the last to arrive, when its connection is over. Was the SYN answered by a cookie, which a few half-open records make common, then
// nothing of it is remembered, and the cookie is still worth a connection (RFC 4987, section 3.6). A peer in TIME-WAIT does not reset
// that one, and nobody has anything to send: keep-alive alone finds it. And the only RST of a peer may be lost.
var asksSoon = tcp.KeepAlive{Enabled: true, Idle: tcp.Minute, Interval: 10 * tcp.Second, Count: 3}

// live is the life of one connection to an echo, or to nobody: it writes and reads at once, until it is done or something ends it.
func live(t *testing.T, p *pair, r *rand.Rand) {
	addr := [...]string{"10.77.0.2:80", "[fd77::2]:80", "10.77.0.2:81", "[fd77::2]:81", "10.77.0.2:82"}[r.IntN(5)]
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+r.IntN(5000))*time.Millisecond)
	defer cancel()
	c, err := p.client.DialTCP(ctx, netip.MustParseAddrPort(addr), nil)
	if err != nil {
		return
	}
	defer c.Close()
	n, atOnce, buffer := r.IntN(400_000), 1+r.IntN(150_000), make([]byte, 1+r.IntN(150_000))
	end, when := r.IntN(6), time.Duration(r.IntN(20_000))*time.Microsecond
	var both sync.WaitGroup
	both.Go(func() { writeTape(c, n, atOnce) })
	both.Go(func() {
		if got, err := readTape(t, c, buffer); err == io.EOF && got != n && end > 2 && addr != "10.77.0.2:82" {
			t.Errorf("%s: the stream ended after %d of %d bytes", addr, got, n)
		}
	})
	time.Sleep(when)
	switch end {
	case 0:
		_ = c.Close()
	case 1:
		_ = c.SetLinger(0)
		_ = c.Close()
	case 2:
		_ = c.SetDeadline(time.Now().Add(time.Millisecond))
	case 3:
		_ = c.SetCork(true)
		_ = c.SetCork(false)
	}
	both.Wait()
}

// tape is the byte at each place of every stream.
func tape(at int) byte { return byte(at % 251) }

func writeTape(c *stack.Conn, n, atOnce int) {
	b := make([]byte, atOnce)
	for at := 0; at < n; at += len(b) {
		b = b[:min(len(b), n-at)]
		for i := range b {
			b[i] = tape(at + i)
		}
		if _, err := c.Write(b); err != nil {
			return
		}
	}
	_ = c.CloseWrite()
}

func readTape(t *testing.T, c *stack.Conn, b []byte) (at int, err error) {
	for {
		n, err := c.Read(b)
		for i, got := range b[:n] {
			if got != tape(at+i) {
				t.Errorf("byte %d is another than was written", at+i)
				return at, nil
			}
		}
		if at += n; err != nil {
			return at, err
		}
	}
}

// change does one of the things that administrators do.
func change(p *pair, r *rand.Rand) {
	switch r.IntN(7) {
	case 0:
		p.server.SetLimits(stack.Limits{Memory: int64(100+r.IntN(1200)) << 10, HalfOpen: 1 + r.IntN(20), TimeWait: 1 + r.IntN(50)})
	case 1:
		o := tcp.DefaultOptions()
		o.KeepAlive = asksSoon
		o.Congestion, o.ECN = tcp.Congestion(r.IntN(3)), tcp.ECN(r.IntN(3))
		p.server.SetOptions(o)
		p.client.SetOptions(o)
	case 2:
		p.server.SetRecorder(r.IntN(2) == 0)
	case 3:
		for c := range p.server.Conns() {
			_, _ = p.server.Conn(c.ID)
		}
	case 4:
		if l, err := p.server.ListenTCP(netip.MustParseAddrPort("10.77.0.2:82"), stack.ListenOptions{}); err == nil {
			time.Sleep(5 * time.Millisecond)
			_ = l.Close()
		}
	}
}
