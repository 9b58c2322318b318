package service

import "sync/atomic"

// Counters counts the connections of one service. It is embedded in each service; its zero value is ready.
type Counters struct {
	accepted, refused, acceptErrors atomic.Uint64
	active, pending                 atomic.Int64
	ended                           [NumReasons]atomic.Uint64
}

// Snapshot is the state of a service's counters. At rest Refused is the sum of Ended over the refusals, and Accepted is
// Active plus the sum of Ended over the other reasons.
type Snapshot struct {
	Accepted     uint64             // connections served
	Refused      uint64             // connections never served
	AcceptErrors uint64             // passing errors of the listener
	Active       int64              // connections being served
	Pending      int64              // dials to the backend under way, with the client's handshake that follows
	Ended        [NumReasons]uint64 // by reason
	Framed       bool               // the service is a Datagram
	Frames       FrameCounts
}

// Snapshot reads the counters. Each is exact; together they are a moment apart.
func (c *Counters) Snapshot() Snapshot {
	s := Snapshot{
		Refused:      c.refused.Load(),
		AcceptErrors: c.acceptErrors.Load(),
		Accepted:     c.accepted.Load(),
		Active:       c.active.Load(),
		Pending:      c.pending.Load(),
	}
	for i := range s.Ended {
		s.Ended[i] = c.ended[i].Load()
	}
	return s
}

// begin counts a connection that is served from now on; end must follow.
func (c *Counters) begin() {
	c.accepted.Add(1)
	c.active.Add(1)
}

func (c *Counters) end(r Reason) {
	c.ended[r].Add(1)
	c.active.Add(-1)
}

func (c *Counters) refuse(r Reason) {
	c.ended[r].Add(1)
	c.refused.Add(1)
}
