package tcp

import "testing"

func TestRACK_windowGrowsWithDSACKs(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(sacking, 6)
		c.advance(10 * Millisecond)
		c.conn.reorder.seen = true
		c.conn.rtt.min = 8 * Millisecond
		narrow := c.conn.reorder.window(c.conn)
		c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{1001, 2001}}})
		c.advanceToTimer()
		c.want("taken for lost", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		c.send(seg{flags: ACK, seq: 1, ack: 2001})
		c.send(seg{flags: ACK, seq: 1, ack: 2001, sacks: []span{{1, 1001}}})
		if w := c.conn.reorder.window(c.conn); narrow != 2*Millisecond || w != 2*narrow {
			c.Errorf("from %d to %d us, want twice as long (RFC 8985, section 6.2, step 4)", narrow/Microsecond, w/Microsecond)
		}
		c.send(seg{flags: ACK, seq: 1, ack: 2001, sacks: []span{{1, 1001}}})
		if w := c.conn.reorder.window(c.conn); w != 2*narrow {
			c.Errorf("%d us: once in a round trip", w/Microsecond)
		}
		c.send(seg{flags: ACK, seq: 1, ack: 6001})
		c.write(6001, 1000)
		c.received(10 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 7001, sacks: []span{{1, 1001}}})
		if w := c.conn.reorder.window(c.conn); w != 3*narrow {
			c.Errorf("%d us after the next round", w/Microsecond)
		}
	})
}

func TestRACK_windowShrinksAfter16Recoveries(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(sacking, 1)
		r := &c.conn.reorder
		r.mult, r.persist = 3, rackPersist
		at := 1001
		c.received(10 * Millisecond)
		for n := 1; n <= 16; n++ {
			if r.mult != 3 {
				c.Fatalf("back to normal after %d recoveries", n-1)
			}
			c.conn.cc.set(10_000)
			for i := range 5 {
				c.write(at+i*1000, 1000)
				c.advance(Millisecond)
			}
			c.discard()
			c.advance(10 * Millisecond)
			c.send(seg{flags: ACK, seq: 1, ack: at, sacks: []span{{Seq(at + 1000), Seq(at + 5000)}}})
			c.want("lost", seg{flags: ACK, seq: at, ack: 1, len: 1000})
			c.advance(10 * Millisecond)
			at += 5000
			c.send(seg{flags: ACK, seq: 1, ack: at})
		}
		if r.mult != 0 {
			c.Error("\"Reset the window after 16 DSACK-free recoveries\" (RFC 8985, section 6.2, step 4)")
		}
	})
}

// Where a clock of 10 ms stands, a round trip takes no time, and each repair was lost in the same instant: 1.8 million packets in half
// a second.
func TestRACK_clockThatStands(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(sacking)
		c.conn.rtt = rttEstimator{srtt: Microsecond, min: Microsecond}
		for range 5 {
			c.write(c.conn.snd.nxt.Sub(c.iss), 1000)
		}
		c.discard()
		c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{4001, 5001}}})
		c.wantIdle("nothing that left in this instant is lost")
		c.advance(Millisecond)
		c.want("it is a tick later", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		n := len(c.inbox)
		c.discard()
		c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{1, 1001}, {4001, 5001}}})
		c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{3001, 5001}}})
		if again := len(c.inbox); n+again > 3 {
			c.Errorf("%d and %d repairs of three segments", n, again)
		}
	})
}

// The acknowledgement of the original comes right after the retransmission: it says nothing of what was sent in between.
func TestRACK_originalOfARetransmission(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(sacking, 4)
		c.advance(10 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{1001, 4001}}})
		c.want("taken for lost", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		c.write(4001, 3000)
		c.discard()
		c.advance(2 * Millisecond)
		sent := c.conn.rack.sent
		c.send(seg{flags: ACK, seq: 1, ack: 4001})
		if c.conn.rack.sent != sent {
			c.Error("2 ms are no round trip (RFC 8985, section 6.2, step 2)")
		}
		if i := c.table.Info(c.now, c.conn); i.Retransmits != 1 {
			c.Errorf("%d retransmissions", i.Retransmits)
		}
	})
}

// However many DSACKs there were, the window is no longer than the smoothed round-trip time (RFC 8985, section 6.2, step 4).
func TestRACK_windowIsBoundedBySRTT(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(sacking, 6)
		c.conn.reorder.seen = true
		c.conn.rtt.min, c.conn.rtt.srtt = 8*Millisecond, 20*Millisecond
		for _, x := range []struct {
			mult uint8
			want Duration
		}{{0, 2 * Millisecond}, {8, 18 * Millisecond}, {9, 20 * Millisecond}, {rackMaxMult, 20 * Millisecond}} {
			c.conn.reorder.mult = x.mult
			if w := c.conn.reorder.window(c.conn); w != x.want {
				c.Errorf("%d quarters of 8 ms: %d us, want %d", x.mult+1, w/Microsecond, x.want/Microsecond)
			}
		}
		c.discard()
	})
}
