package stack_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tcpd/ip"
	"tcpd/stack"
	"tcpd/tun"
)

// exactLink is an end of a link in memory that takes no packet larger than its MTU, nor one that is to be cut into such. Without
// offload it cuts super-packets itself and completes every checksum, as a device does that offers nothing.
type exactLink struct {
	*tun.Memory
	offload bool

	mu        sync.Mutex
	segmenter ip.Segmenter
	largest   int // packet on the wire since the last look
	tooLong   int // packets that did not fit
	supers    int
}

func (l *exactLink) Write(queue int, p *ip.Outgoing) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.offload {
		return l.pass(queue, p)
	}
	return l.segmenter.Split(p, func(p *ip.Outgoing) error { return l.pass(queue, p) })
}

func (l *exactLink) pass(queue int, p *ip.Outgoing) error {
	size := p.Len()
	if n := len(p.Header) + int(p.Offload.SegmentSize); p.Offload.SegmentSize != 0 && size > n {
		size = n
		l.supers++
	}
	if size > l.MTU() {
		l.tooLong++
		return nil
	}
	l.largest = max(l.largest, size)
	return l.Memory.Write(queue, p)
}

// look returns what has passed since the last look.
func (l *exactLink) look() (largest, tooLong, supers int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	largest, tooLong, supers = l.largest, l.tooLong, l.supers
	l.largest, l.tooLong, l.supers = 0, 0, 0
	return
}

// leastMTU are the least MTUs at which every segment fits: those of Linux, whose segments never have less than 48 bytes beside
// their two headers, and of IPv6.
var leastMTU = map[string]int{"IPv4": 88, "IPv6": 1280}

// mtus are all of them up to some that are beyond a page, and those beyond where something else may become the limit. Short
// runs take one of 31.
func mtus(r *rand.Rand, least int) (all []int) {
	for mtu := least; mtu <= 4400; mtu++ {
		if !testing.Short() || r.IntN(31) == 0 || mtu < least+4 {
			all = append(all, mtu)
		}
	}
	all = append(all, 8191, 8192, 8193, 9000, 16384, 32767, 32768, 65519, 65520, 65521, 65534, 65535)
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// TestEveryMTU: streams are byte-exact at every MTU, with segments that fill it and none that is larger; one that is under way
// while the MTU changes, up or down, and the one that begins with it.
func TestEveryMTU(t *testing.T) {
	for family, addr := range families {
		for name, offload := range map[string][2]bool{
			"offload on": {true, true}, "offload off": {false, false}, "offload of one": {true, false},
		} {
			t.Run(family+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testEveryMTU(t, addr, leastMTU[family], offload) })
			})
		}
	}
}

func testEveryMTU(t *testing.T, addr string, least int, offload [2]bool) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var links [2]*exactLink
	a, b := tun.NewMemory(65535, 1, 4096)
	for i, m := range []*tun.Memory{a, b} {
		links[i] = &exactLink{Memory: m, offload: offload[i]}
	}
	p := newPair(t, 1, func(c *stack.Config) { c.Link = links[0] }, func(c *stack.Config) { c.Link = links[1] })
	l := p.listen(addr, stack.ListenOptions{})
	go serveEcho(l)
	long := p.dial(addr)
	defer long.Close()
	tape := make([]byte, 1<<20)
	for i := range tape {
		tape[i] = byte(r.Uint32())
	}
	var supers [2]int
	for _, mtu := range mtus(r, least) {
		change := func() {
			for _, l := range links {
				l.SetMTU(mtu)
			}
		}
		some := func(n int) []byte { at := r.IntN(len(tape) - n); return tape[at : at+n] }
		if err := exchange(long, some(1+r.IntN(60_000)), change); err != nil {
			t.Fatalf("MTU %d, the stream that goes on: %v", mtu, err)
		}
		synctest.Wait()
		for _, l := range links {
			l.look()
		}
		c := p.dial(addr)
		err := exchange(c, some(2*mtu+r.IntN(40_000)), func() {})
		c.Close()
		synctest.Wait()
		if err != nil {
			t.Fatalf("MTU %d, a stream that begins: %v", mtu, err)
		}
		for i, l := range links {
			largest, tooLong, n := l.look()
			supers[i] += n
			if largest > mtu || largest < min(mtu, 20_000) || tooLong != 0 {
				t.Errorf("MTU %d, offload %v: the largest packet has %d bytes, %d more did not fit", mtu, offload[i], largest, tooLong)
			}
		}
		if t.Failed() {
			return
		}
	}
	for i, n := range supers {
		if (n > 0) != offload[i] {
			t.Errorf("offload %v: %d super-packets", offload[i], n)
		}
	}
}

// serveEcho answers every connection with what it says, until the listener is closed.
func serveEcho(l *stack.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
			_ = c.Close()
		}()
	}
}

// exchange writes b and reads it back at the same time; meanwhile is called in the middle of it.
func exchange(c *stack.Conn, b []byte, meanwhile func()) error {
	if err := c.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		return err
	}
	written := make(chan error, 1)
	go func() {
		_, err := c.Write(b[:len(b)/2])
		meanwhile()
		_, more := c.Write(b[len(b)/2:])
		written <- errors.Join(err, more)
	}()
	back := make([]byte, len(b))
	_, err := io.ReadFull(c, back)
	if err = errors.Join(err, <-written); err == nil && !bytes.Equal(back, b) {
		err = errors.New("other bytes came back than were sent")
	}
	return err
}
