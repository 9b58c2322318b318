package tcp

import "testing"

// goes writes n bytes from number at on, of which more follow.
func (c *talk) goes(at, n int) (took int) {
	c.Helper()
	took, err := c.table.Write(c.now, c.conn, pattern(at-1, n))
	if err != nil {
		c.Fatal(err)
	}
	c.table.SetMore(c.conn, true)
	c.line("  write %d+%d, more follows", at, took)
	c.settle()
	return took
}

func (c *talk) thatWasAll() {
	c.Helper()
	c.table.SetMore(c.conn, false)
	c.settle()
}

func undelayed(o Options) peerOptions {
	o.NoDelay = true
	p := plain
	p.listen.Options = o
	return p
}

func TestMore_fullSegmentsUntilTheEnd(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(undelayed(Options{}))
		c.goes(1, 2500)
		c.want("full segments", seg{flags: ACK, seq: 1, ack: 1, len: 2000})
		c.wantIdle("the rest waits for more")
		c.send(seg{flags: ACK, seq: 1, ack: 2001})
		c.wantIdle("who writes has room, and comes")
		c.goes(2501, 700)
		c.want("the rest and what came", seg{flags: ACK, seq: 2001, ack: 1, len: 1000})
		c.wantIdle("200 bytes wait")
		c.thatWasAll()
		c.want("the end does not wait", seg{flags: ACK | PSH, seq: 3001, ack: 1, len: 200})
		c.write(3201, 10)
		c.want("nor does a write without more", seg{flags: ACK | PSH, seq: 3201, ack: 1, len: 10})
	})
}

// TestMore_noRoom: a buffer that is smaller than a segment is full and cannot become a full segment.
func TestMore_noRoom(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(undelayed(Options{SendBuffer: 600}))
		if n := c.goes(1, 2500); n != 600 {
			c.Fatalf("%d bytes fit, the test wants 600", n)
		}
		c.want("all there is room for", seg{flags: ACK | PSH, seq: 1, ack: 1, len: 600})
		c.send(seg{flags: ACK, seq: 1, ack: 601})
		c.wantEvent("room again", EventWritable)
		c.goes(601, 300)
		c.wantIdle("300 bytes wait")
		c.memory.refuseFrom = 1
		if n := c.goes(901, 8000); n > 300 {
			c.Fatalf("%d more bytes fit", n)
		}
		c.memory.refuseFrom = 0
		if len(c.inbox) != 1 || c.inbox[0].seq != 601 {
			c.Errorf("who writes waits for room, and nothing is under way: want all that was written")
		}
		c.discard()
	})
}

// TestMore_lentRoom: room for less than was asked for is room all the same: what waits goes with what is put there.
func TestMore_lentRoom(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(undelayed(Options{SendBuffer: 2500}))
		c.goes(1, 1700)
		c.want("a full segment", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		c.send(seg{flags: ACK, seq: 1, ack: 1001})
		room, err := c.table.Reserve(c.conn, 4000, nil)
		if err != nil || len(room) == 0 {
			c.Fatalf("%d pieces, %v", len(room), err)
		}
		c.send(seg{flags: ACK | PSH, seq: 1, ack: 1001, len: 10})
		c.want("700 bytes wait while somebody fills the room", seg{flags: ACK, seq: 1001, ack: 11})
		n := 0
		for _, p := range room {
			n += copy(p, pattern(1700+n, len(p)))
		}
		if err := c.table.Commit(c.conn, n); err != nil {
			c.Fatal(err)
		}
		c.settle()
		c.want("full segments", seg{flags: ACK, seq: 1001, ack: 11, len: 2000})
		c.wantIdle("the end waits: an acknowledgement will come")
		c.send(seg{flags: ACK, seq: 11, ack: 3001})
		c.discard()
	})
}

// TestMore_oneSegment: a lone segment is acknowledged late, and who writes waits for room: the rest goes with it.
func TestMore_oneSegment(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(undelayed(Options{SendBuffer: 1500}))
		c.goes(1, 8000)
		c.want("all there is room for", seg{flags: ACK | PSH, seq: 1, ack: 1, len: 1500})
	})
}

// TestMore_lentForNothing: room that is given back unused does not hold for ever what waited for it.
func TestMore_lentForNothing(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(undelayed(Options{SendBuffer: 2000}))
		c.goes(1, 700)
		if _, err := c.table.Reserve(c.conn, 4000, nil); err != nil {
			c.Fatal(err)
		}
		c.send(seg{flags: ACK | PSH, seq: 1, ack: 1, len: 10})
		c.want("700 bytes wait while somebody fills the room", seg{flags: ACK, seq: 1, ack: 11})
		if err := c.table.Commit(c.conn, 0); err != nil {
			c.Fatal(err)
		}
		c.settle()
		c.want("there is nobody to wait for", seg{flags: ACK | PSH, seq: 1, ack: 11, len: 700})
	})
}

// TestMore_bounded: an application that does not come back holds nothing for ever, and it is no fault of the peer's.
func TestMore_bounded(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(undelayed(Options{}))
		c.goes(1, 100)
		c.wantIdle("100 bytes wait")
		if d := c.advanceToTimer(); d > Second {
			c.Errorf("for %d ms", d/Millisecond)
		}
		c.want("then they leave", seg{flags: ACK | PSH, seq: 1, ack: 1, len: 100})
		if i := c.table.Info(c.now, c.conn); i.Backoff != 0 || i.Retries != 0 {
			c.Errorf("backoff %d, retries %d", i.Backoff, i.Retries)
		}
	})
}
