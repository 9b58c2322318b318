package stack_test

import (
	"flag"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"tcpd/service"
	"tcpd/stack"
	"tcpd/tun"
)

var idleConnections = flag.Int("idle", 20_000, "how many idle connections TestIdle_memory makes; a million take 2 GiB and 15 s")

// perIdle is what both ends of an idle connection may take together, of everything in the heap: 1.5 GiB for a million.
const perIdle = 3 << 29 / 1_000_000

// crowd is two stacks with many idle connections between them. The server echoes by calls.
type crowd struct {
	server, client *stack.Stack
	conns          []*stack.Conn
}

func newCrowd(tb testing.TB, n int) *crowd {
	tb.Helper()
	const perAddress = 25_000 // the ports that Dial chooses from, and some to spare
	c := &crowd{conns: make([]*stack.Conn, 0, n)}
	a, b := tun.NewMemory(1500, 1, 4096)
	limits := stack.Limits{Connections: n + 1000, Memory: 8 << 30}
	c.server = newStack(tb, stack.Config{Link: a, Limits: limits, Addresses: prefixes("10.0.0.0/16")})
	c.client = newStack(tb, stack.Config{Link: b, Limits: limits, Addresses: prefixes("10.1.0.1/16")})
	listener, err := c.server.ListenTCP(netip.MustParseAddrPort("0.0.0.0:7"), stack.ListenOptions{Backlog: 10_000})
	if err != nil {
		tb.Fatal(err)
	}
	go func() { _ = (&service.Echo{}).Serve(tb.Context(), listener) }()
	c.dial(tb, n, perAddress)
	return c
}

func newStack(tb testing.TB, cfg stack.Config) *stack.Stack {
	tb.Helper()
	s, err := stack.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

// dial opens n connections, several at a time.
func (c *crowd) dial(tb testing.TB, n, perAddress int) {
	tb.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	next := 0
	for range 16 {
		all.Add(1)
		go func() {
			defer all.Done()
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= n {
					return
				}
				to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i / perAddress), 1}), 7)
				conn, err := c.client.DialTCP(tb.Context(), to, nil)
				if err != nil {
					tb.Errorf("connection %d: %v", i, err)
					return
				}
				mu.Lock()
				c.conns = append(c.conns, conn)
				mu.Unlock()
			}
		}()
	}
	all.Wait()
	if tb.Failed() {
		tb.FailNow()
	}
}

// exchange sends a byte on connection i and waits for its echo.
func (c *crowd) exchange(tb testing.TB, i int) {
	var b [1]byte
	if _, err := c.conns[i].Write(b[:]); err != nil {
		tb.Fatal(err)
	}
	if _, err := c.conns[i].Read(b[:]); err != nil {
		tb.Fatal(err)
	}
}

func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// Idle connections take what is promised, all of it counted: records of both ends, their places among the flows, timers, what
// the runtime keeps for who reads and writes, and the slabs that all this comes from.
func TestIdle_memory(t *testing.T) {
	n := *idleConnections
	before, goroutines := heap(), runtime.NumGoroutine()
	c := newCrowd(t, n)
	for i := 0; i < n; i += 1 + n/1000 {
		c.exchange(t, i)
	}
	took := heap() - before - 8*n // the list of this test
	t.Logf("%d connections: %d bytes each, of both ends; %d goroutines more", n, took/n, runtime.NumGoroutine()-goroutines)
	if fixed := 8 << 20; took > n*perIdle+fixed {
		t.Errorf("%d idle connections take %d bytes, %d each; %d are granted, and %d for what any number needs", n, took, took/n, perIdle, fixed)
	}
	for _, s := range []*stack.Stack{c.server, c.client} {
		if charged := int(s.Stats().MemoryUsed); charged > took {
			t.Errorf("%d bytes are charged to a budget, the heap has %d", charged, took)
		}
	}
	if more := runtime.NumGoroutine() - goroutines; more > 100 {
		t.Errorf("%d goroutines more", more)
	}
	start := time.Now()
	runtime.GC()
	t.Logf("a full collection takes %v", time.Since(start))
	runtime.KeepAlive(c)
}

// BenchmarkIdle_exchange is a byte there and back on one of so many connections: on ten of them in turn, so that all that
// differs is what the others cost, and on all in turn, where each record comes from memory and no longer from a cache.
func BenchmarkIdle_exchange(b *testing.B) {
	sizes := []int{10, 1000, 100_000}
	if *idleConnections > 100_000 {
		sizes = append(sizes, *idleConnections)
	}
	for _, n := range sizes {
		c := newCrowd(b, n)
		for _, active := range []int{10, n} {
			b.Run(fmt.Sprintf("%d/%d", n, active), func(b *testing.B) {
				heap()
				i := 0
				for b.Loop() {
					i = (i + 7919) % active
					c.exchange(b, i*(n/active))
				}
			})
		}
		c.close()
	}
}

func (c *crowd) close() {
	c.client.Close()
	c.server.Close()
	c.conns = nil
}
