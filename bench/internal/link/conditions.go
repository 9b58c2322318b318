// Package link joins two TUN devices by an emulated link: rate, queue, delay, random loss, reordering. Every connection
// gets a link of its own with its own seed, so that several at once are several samples and not rivals.
package link

import "time"

// Conditions are what a connection's link does, alike in both directions.
type Conditions struct {
	Rate    float64       // bit/s of IP packets
	Delay   time.Duration // one way, on top of the time in the queue
	Queue   int           // bytes before the rate; what does not fit is dropped at the tail
	Loss    float64       // share of packets lost at random, after the queue
	Reorder float64       // share of packets that take Extra longer and are overtaken
	Extra   time.Duration
}

// Side is an end of the link.
type Side int

// The ends. A direction has the name of the end where its packets enter.
const (
	Client Side = iota
	Server
)

// Counts are the packets of one direction.
type Counts struct {
	Entered  uint64 `json:"entered"`
	Lost     uint64 `json:"lost"`     // at random
	Overflow uint64 `json:"overflow"` // at the queue's tail
	Delayed  uint64 `json:"delayed"`  // to be overtaken
	Peak     int    `json:"peak"`     // longest queue, bytes
}

// Add makes the counts those of both.
func (c *Counts) Add(o Counts) {
	c.Entered += o.Entered
	c.Lost += o.Lost
	c.Overflow += o.Overflow
	c.Delayed += o.Delayed
	c.Peak = max(c.Peak, o.Peak)
}
