package stack

import (
	"runtime"
	"time"
)

// Govern lets Go code run on half of the processors, and packets leave by as many queues, but on all while many bulk flows keep
// those busy and it pays. The kernel's receive path runs inside our writes and its send path in those of peers on this
// machine: with few flows, or small messages, it makes better use of the other half, and nobody waits for a processor.
//
// It changes GOMAXPROCS, which is the whole process's and stays as it is in the end, and is for a process that does little else.
// It returns when the stack has ended. Nothing wakes it while little moves.
func (s *Stack) Govern(all int) {
	g := governor{narrow: max(all/2, 1), all: all}
	s.allot(&g)
	for g.narrow < g.all {
		asleep := time.Now()
		if !s.awaitBulk() {
			return
		}
		g.woke(time.Since(asleep))
		s.governBulk(&g)
	}
}

// movesMuch tells who governs.
func (s *Stack) movesMuch() {
	if s.wantsBulk.Load() && s.wantsBulk.CompareAndSwap(true, false) {
		s.bulk <- struct{}{}
	}
}

// awaitBulk blocks until much moves, and returns false when the stack has ended.
func (s *Stack) awaitBulk() bool {
	s.wantsBulk.Store(true)
	select {
	case <-s.bulk:
		return true
	case <-s.done:
		return false
	}
}

// governBulk looks every governEvery until little moves.
func (s *Stack) governBulk(g *governor) {
	ticker := time.NewTicker(governEvery)
	defer ticker.Stop()
	last := s.usage()
	for g.awake() {
		select {
		case <-ticker.C:
		case <-s.done:
			return
		}
		now := s.usage()
		if before := g.processors(); g.step(now.since(last)) != before {
			s.allot(g)
			now = s.usage()
		}
		last = now
	}
}

// allot gives Go code its processors, and the packets the same share of the queues.
func (s *Stack) allot(g *governor) {
	runtime.GOMAXPROCS(g.processors())
	s.SetSpread(len(s.shards) * g.processors() / g.all)
}

// usage is what has been used and moved so far.
type usage struct {
	at             time.Time
	processor      time.Duration // used, of all processors
	packets, bytes uint64
	marks          uint64 // of flows since the usage before
}

// load is usage between two times.
type load struct {
	elapsed, processor time.Duration
	packets, bytes     uint64
	flows              int
}

func (s *Stack) usage() usage {
	u := usage{at: time.Now(), processor: processTime()}
	for i, r := range s.loops {
		g := s.guests[i]
		u.packets += r.counters.packets.Load() + g.counters.packets.Load()
		u.bytes += r.counters.bytes.Load() + g.counters.bytes.Load()
		u.marks |= r.flows.take() | g.flows.take()
	}
	for _, sh := range s.shards {
		sh.mu.Lock()
		u.packets += sh.packetsOut
		u.bytes += sh.bytesOut
		sh.mu.Unlock()
	}
	return u
}

func (u usage) since(last usage) load {
	return load{
		u.at.Sub(last.at), u.processor - last.processor, u.packets - last.packets, u.bytes - last.bytes, flowsOf(u.marks),
	}
}
