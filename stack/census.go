package stack

import "sync/atomic"

// census counts the connections and handshakes of all shards. It implements tcp.Census. Two shards that take the last place at
// the same time may both have it.
type census struct{ connections, halfOpen atomic.Int64 }

func (c *census) Connections() int { return int(c.connections.Load()) }
func (c *census) HalfOpen() int    { return int(c.halfOpen.Load()) }

func (c *census) Count(connections, halfOpen int) {
	if connections != 0 {
		c.connections.Add(int64(connections))
	}
	if halfOpen != 0 {
		c.halfOpen.Add(int64(halfOpen))
	}
}
