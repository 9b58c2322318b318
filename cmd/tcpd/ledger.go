package main

import (
	"maps"
	"slices"

	"tcpd/service"
)

// ledger keeps the counts of one service's name over its reloads, so that they only grow.
type ledger struct {
	past service.Snapshot // of servers that have nothing left to count
	live []server         // the last one is in charge, those before it still have connections
}

// add notes a server that is about to be in charge.
func (l *ledger) add(s server) {
	l.fold()
	l.live = append(l.live, s)
}

// fold adds up the servers that will count no more: replaced, and with the last connection gone.
func (l *ledger) fold() {
	last := len(l.live) - 1 // still in charge
	for i := last - 1; i >= 0; i-- {
		if s := l.live[i].Snapshot(); s.Active == 0 && s.Pending == 0 {
			l.past = sum(l.past, s)
			l.live = slices.Delete(l.live, i, i+1)
		}
	}
}

func (l *ledger) snapshot() service.Snapshot {
	total := l.past
	for _, s := range l.live {
		total = sum(total, s.Snapshot())
	}
	return total
}

func sum(a, b service.Snapshot) service.Snapshot {
	a.Accepted += b.Accepted
	a.Refused += b.Refused
	a.AcceptErrors += b.AcceptErrors
	a.Active += b.Active
	a.Pending += b.Pending
	for i := range b.Ended {
		a.Ended[i] += b.Ended[i]
	}
	a.Framed = a.Framed || b.Framed
	a.Frames.Received += b.Frames.Received
	a.Frames.Sent += b.Frames.Sent
	for i := range b.Frames.Dropped {
		a.Frames.Dropped[i] += b.Frames.Dropped[i]
	}
	return a
}

// ledger returns the counts for a name.
func (s *services) ledger(name string) *ledger {
	l := s.ledgers[name]
	if l == nil {
		l = &ledger{}
		s.ledgers[name] = l
	}
	return l
}

// serviceCounts are the counts of one service.
type serviceCounts struct {
	name   string
	counts service.Snapshot
}

// counts returns the counts of every service since the start, by name.
func (s *services) counts() []serviceCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []serviceCounts
	for _, name := range slices.Sorted(maps.Keys(s.ledgers)) {
		list = append(list, serviceCounts{name, s.ledgers[name].snapshot()})
	}
	return list
}
