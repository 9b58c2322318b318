package stack

import (
	"sync"
	"sync/atomic"

	"tcpd/ip"
	"tcpd/tcp"
)

// maxIdleSources bounds the sources remembered only for their rate; those with connections are as many as these.
const maxIdleSources = 1 << 16

// sources enforces PerSource. It is consulted for SYNs and when connections begin and end, never for other segments.
type sources struct {
	on     atomic.Bool
	mu     sync.Mutex
	limits PerSource
	table  map[ip.Addr]*source
}

// source is what is known of one source.
type source struct {
	connections int
	tokens      int64 // SYNs that may come at once, in parts of a second
	last        tcp.Time
}

func newSources(l PerSource) *sources {
	s := &sources{table: make(map[ip.Addr]*source)}
	s.set(l)
	return s
}

func (s *sources) set(l PerSource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits = l
	s.on.Store(l.Connections > 0 || l.NewPerSecond > 0)
}

// sourceKey is the address of an IPv4 host, or the /64 of an IPv6 one.
func sourceKey(a ip.Addr) ip.Addr {
	if !a.Is4() {
		clear(a[8:])
	}
	return a
}

// arrive judges a SYN of a source.
func (s *sources) arrive(now tcp.Time, from ip.Addr) Drop {
	if !s.on.Load() {
		return DropNone
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entry(now, sourceKey(from))
	if n := s.limits.Connections; n > 0 && e.connections >= n {
		return DropSourceConnections
	}
	if n := s.limits.NewPerSecond; n > 0 && !e.take(now, n) {
		return DropSourceRate
	}
	return DropNone
}

// take is a token bucket of one second.
func (e *source) take(now tcp.Time, perSecond int) bool {
	full := int64(tcp.Second)
	e.tokens = min(full, e.tokens+int64(now.Sub(e.last)))
	e.last = max(e.last, now)
	cost := full / int64(perSecond)
	if e.tokens < cost {
		return false
	}
	e.tokens -= cost
	return true
}

// open counts a connection that a listener hands out. It reports whether it may be, and whether it was counted: without
// limits nothing is, and a limit set later does not see connections that were there before.
func (s *sources) open(now tcp.Time, from ip.Addr) (ok, counted bool) {
	if !s.on.Load() {
		return true, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entry(now, sourceKey(from))
	if n := s.limits.Connections; n > 0 && e.connections >= n {
		return false, false
	}
	e.connections++
	return true, true
}

// close counts a connection of open that the service has closed.
func (s *sources) close(from ip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := sourceKey(from)
	e := s.table[key]
	if e == nil {
		return
	}
	e.connections--
	if e.connections == 0 && s.limits.NewPerSecond == 0 {
		delete(s.table, key)
	}
}

// entry returns the record of a source, made if need be.
func (s *sources) entry(now tcp.Time, key ip.Addr) *source {
	if e := s.table[key]; e != nil {
		return e
	}
	s.forget(now)
	e := &source{tokens: int64(tcp.Second), last: now}
	s.table[key] = e
	return e
}

// forget makes room: it looks at a few records, in the random order of the map, and forgets those that hold nothing.
func (s *sources) forget(now tcp.Time) {
	if len(s.table) < maxIdleSources {
		return
	}
	looked := 0
	var oldest ip.Addr
	var at = tcp.Never
	for key, e := range s.table {
		if e.connections == 0 {
			if now.Sub(e.last) >= tcp.Second {
				delete(s.table, key)
			} else if e.last < at {
				oldest, at = key, e.last
			}
		}
		if looked++; looked == 8 {
			break
		}
	}
	if at != tcp.Never && len(s.table) >= maxIdleSources {
		delete(s.table, oldest)
	}
}
