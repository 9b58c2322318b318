package tcp

import "testing"

// pacedTalk has a round trip of 20 ms, 20,000 bytes behind it and a window of 40,000.
func pacedTalk(c *talk, p Pacing) {
	c.Helper()
	o := sacking
	o.listen.Options.Pacing = p
	c.accepted(o)
	for range 2 {
		c.request(10_000, 20*Millisecond)
	}
	rtt := 20 * Millisecond
	c.conn.rtt = rttEstimator{srtt: rtt, rttvar: rtt / 2, min: rtt, last: rtt}
	c.conn.cc.set(40_000)
	c.conn.cc.ssthresh = 30_000
	c.discard()
}

func TestPacing_spreadsTheWindow(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		pacedTalk(c, PacingOn)
		start := c.now
		c.write(20_001, 60_000)
		if n := len(c.inbox); n != 1 || c.inbox[0].len != 2000 {
			c.Errorf("%d packets leave at once; want one, of a millisecond of 1.2 * 40,000 bytes in 20 ms", n)
		}
		if i := c.table.Info(c.now, c.conn); i.Limit != LimitPacing || i.PacingRate != 2_400_000 {
			c.Errorf("limited by %v at %d bytes per second", i.Limit, i.PacingRate)
		}
		for c.conn.flight.pipe < 40_000 {
			c.advanceToTimer()
			if n := len(c.inbox); n != 1 || c.inbox[0].len != 2000 {
				c.Fatalf("%d packets leave at once, the first of %d bytes", n, c.inbox[0].len)
			}
			c.discard()
		}
		// 38,000 bytes later at 2.4 MB/s: 15.83 ms, less the half of a pause that the first gets back, and the last tick of the wheel.
		if d := c.now.Sub(start); d < 15_400*Microsecond || d > 15_950*Microsecond {
			c.Errorf("the window left in %d us", d/Microsecond)
		}
		c.advance(Millisecond)
		if i := c.table.Info(c.now, c.conn); i.Limit != LimitCwnd || i.PacingLimited < 15*Millisecond {
			c.Errorf("limited by %v, %d us by pacing", i.Limit, i.PacingLimited/Microsecond)
		}
	})
}

// A timer that comes half a pause late each time does not slow the sender down.
func TestPacing_lateTimers(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		pacedTalk(c, PacingOn)
		start := c.now
		c.write(20_001, 60_000)
		for c.conn.flight.pipe < 40_000 {
			c.tick(max(c.table.Deadline(), c.now).Add(400 * Microsecond))
		}
		if d := c.now.Sub(start); d > 16_500*Microsecond {
			c.Errorf("the window left in %d us, with timers on time it takes 15,833", d/Microsecond)
		}
	})
}

func TestPacing_savesNothingUp(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		pacedTalk(c, PacingOn)
		c.advance(100 * Millisecond)
		c.write(20_001, 60_000)
		if n := len(c.inbox); n != 1 {
			c.Errorf("%d packets leave at once after an idle time", n)
		}
	})
}

func TestPacing_not(t *testing.T) {
	for _, p := range []Pacing{PacingAuto, PacingOff} {
		converse(t, Config{}, func(c *talk) {
			pacedTalk(c, p)
			c.write(20_001, 60_000)
			if c.conn.flight.pipe != 40_000 {
				c.Errorf("pacing %v: %d bytes have left, want the window", p, c.conn.flight.pipe)
			}
		})
	}
	converse(t, Config{}, func(c *talk) { // a short path
		pacedTalk(c, PacingOn)
		c.conn.rtt = rttEstimator{}
		c.request(1000, 100*Microsecond)
		c.conn.cc.set(40_000)
		c.write(21_001, 60_000)
		if c.conn.flight.pipe != 40_000 {
			c.Errorf("%d bytes have left, want the window", c.conn.flight.pipe)
		}
	})
}

// Unless told otherwise CUBIC and Reno are paced only while more than a super-packet could leave at once.
func TestPacing_largeBursts(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		pacedTalk(c, PacingAuto)
		c.conn.cc.set(120_000)
		c.write(20_001, 110_000)
		first := c.conn.flight.pipe
		if first > 10_000 {
			c.Errorf("%d bytes leave at once of a window of 120,000", first)
		}
		c.advance(20 * Millisecond)
		if c.conn.flight.pipe != 110_000 {
			c.Errorf("%d bytes have left a round trip later", c.conn.flight.pipe)
		}
		most := 0
		for _, s := range c.inbox {
			most = max(most, s.len)
		}
		if most > maxBurst {
			c.Errorf("a packet of %d bytes", most)
		}
	})
}

// What is sent again is paced too, the first segment of a recovery as well: it takes no more than a pause.
func TestPacing_retransmissions(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		pacedTalk(c, PacingOn)
		c.write(20_001, 40_000)
		c.advance(20 * Millisecond)
		c.discard()
		c.send(seg{flags: ACK, seq: 1, ack: 20_001, sacks: []span{{40_001, 60_001}}})
		c.advance(100 * Microsecond)
		if n := len(c.inbox); n > 1 {
			c.Errorf("%d packets leave at once", n)
		}
		c.advance(15 * Millisecond)
		if n := len(c.inbox); n < 5 {
			c.Errorf("%d packets have left after 15 ms", n)
		}
	})
}

// TestPacing_waitsNoLongerThanASecond: a rate that was measured far too low, and may be another soon, stops nobody for long.
func TestPacing_waitsNoLongerThanASecond(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		pacedTalk(c, PacingOn)
		c.conn.rtt.srtt = 1000 * Second
		c.write(20_001, 60_000)
		if d := c.conn.release.Sub(c.now); d <= 0 || d > Second {
			c.Errorf("the next packet leaves in %d ms", d/Millisecond)
		}
	})
}
