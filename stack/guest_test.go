package stack

import (
	"net/netip"
	"testing"
	"time"

	"tcpd/tun"
)

// insistent is a handler that has more to do for so many calls.
type insistent struct {
	calls chan *eventConn // the first
	more  int
	over  chan struct{}
}

func (h *insistent) Ready(c EventConn) bool {
	if h.calls != nil {
		h.calls <- c.(*eventConn)
		h.calls = nil
	}
	if h.more == 0 {
		return false
	}
	if h.more--; h.more == 0 {
		close(h.over)
	}
	return h.more > 0
}

func (*insistent) Closed() {}

// A glance of somebody who is busy with one shard does not leave another's work undone, and leaves his own to him.
func TestGuest_glance(t *testing.T) {
	for _, whose := range []string{"another's", "his own"} {
		t.Run(whose, func(t *testing.T) {
			s, sh, h := insisting(t)
			own := sh
			if whose == "another's" {
				own = s.shards[1-sh.index]
			}
			g := s.guests[0]
			g.busy.Lock()
			g.touch(sh)
			g.sendSome(true, own)
			if own == sh {
				g.busy.Lock() // nobody is at it
				h.mustInsist(t, sh)
				g.busy.Unlock()
				sh.leave(sh.lock())
			}
			select {
			case <-h.over:
			case <-time.After(10 * time.Second):
				t.Error("the handler has more to do, and nobody calls it")
			}
			g.busy.Lock() // the visit is over
			defer g.busy.Unlock()
			if len(g.touched) > 0 || g.isIn[sh.index] {
				t.Error("the guest still has the shard")
			}
		})
	}
}

func (h *insistent) mustInsist(t *testing.T, sh *shard) {
	t.Helper()
	now := sh.lock()
	defer sh.mu.Unlock()
	if h.more == 0 || sh.calls.len() == 0 || now == 0 {
		t.Errorf("%d calls are left, %d queued", h.more, sh.calls.len())
	}
}

// insisting returns a stack of two shards, one of which has to call a handler more often than it does at once.
func insisting(t *testing.T) (*Stack, *shard, *insistent) {
	a, b := tun.NewMemory(1500, 2, 1024)
	server, client := runs(t, a, "10.77.0.2/24"), runs(t, b, "10.77.0.1/24")
	l, err := server.ListenTCP(netip.MustParseAddrPort("10.77.0.2:7"), ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	first := make(chan *eventConn, 1)
	h := &insistent{calls: first, over: make(chan struct{})}
	l.SetHandler(func() Handler { return h })
	if _, err := client.Dial("tcp", "10.77.0.2:7"); err != nil {
		t.Fatal(err)
	}
	c := <-first
	sh, core := c.shard, c.core
	sh.leave(sh.lock()) // the call is over
	sh.lock()
	h.more = 3 * callsAtOnce
	sh.callLater(core, sh.servedBy(core), &sh.calls.more)
	sh.mu.Unlock()
	return server, sh, h
}

func runs(t *testing.T, l Link, own string) *Stack {
	s, err := New(Config{Link: l, Addresses: []netip.Prefix{netip.MustParsePrefix(own)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
