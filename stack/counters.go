package stack

import (
	"sync/atomic"

	"tcpd/ip"
	"tcpd/tcp"
)

// counters are those of one reader, who alone writes them.
type counters struct {
	packets, bytes     atomic.Uint64
	delivered          atomic.Uint64
	fragments          atomic.Uint64 // taken in for reassembly
	reassembled        atomic.Uint64
	echoReplies        atomic.Uint64
	icmpErrors         atomic.Uint64
	icmpErrorsLimited  atomic.Uint64
	writeErrors        atomic.Uint64
	packetsOut, outLen atomic.Uint64

	drops    [NumDrops]atomic.Uint64
	ipDrops  [ip.NumDrops]atomic.Uint64
	tcpDrops [tcp.NumDrops]atomic.Uint64
}

func (c *counters) drop(d Drop)      { c.drops[d].Add(1) }
func (c *counters) dropIP(d ip.Drop) { c.ipDrops[d].Add(1) }

// fate counts what became of a packet given to a table.
func (c *counters) fate(d tcp.Drop) {
	if d == tcp.DropNone {
		c.delivered.Add(1)
		return
	}
	c.tcpDrops[d].Add(1)
}
