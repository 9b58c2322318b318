package tcp

import "testing"

// request sends n bytes and lets them be acknowledged.
func (c *talk) request(n int, rtt Duration) {
	c.Helper()
	c.write(c.conn.snd.nxt.Sub(c.iss), n)
	c.received(rtt)
}

func TestValidation_anUnusedWindowDoesNotGrow(t *testing.T) {
	for _, g := range []Congestion{Cubic, Reno} {
		for _, threshold := range []uint32{infiniteSsth, 20_000} {
			converse(t, Config{}, func(c *talk) {
				o := sacking
				o.listen.Options.Congestion = g
				c.accepted(o)
				c.conn.cc.set(40_000)
				c.conn.cc.ssthresh = threshold
				for range 50 {
					c.request(5000, 10*Millisecond)
				}
				if w := c.conn.cc.cwnd; w != 40_000 {
					c.Errorf("%v: from 40,000 to %d bytes with 5,000 in flight (RFC 7661, section 4.3)", g, w)
				}
			})
		}
	}
}

func TestValidation_lossReducesFromWhatWasUsed(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		o := sacking
		o.listen.Options.Congestion = Reno
		c.accepted(o)
		c.conn.cc.set(200_000)
		for range 3 {
			c.request(20_000, 10*Millisecond)
		}
		at := c.conn.snd.nxt.Sub(c.iss)
		c.write(at, 10_000)
		c.discard()
		c.advance(10 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: at, sacks: []span{{Seq(at + 1000), Seq(at + 10_000)}}})
		if i := c.table.Info(c.now, c.conn); i.Ssthresh != 10_000 {
			c.Errorf("ssthresh %d, want half of the 20,000 that were in use (RFC 7661, section 4.4.1)", i.Ssthresh)
		}
	})
}

func TestValidation_idleHalves(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(sacking)
		c.conn.cc.set(80_000)
		c.request(80_000, 10*Millisecond)
		w := c.conn.cc.cwnd
		c.conn.cc.ssthresh = 30_000
		c.advance(2*c.conn.rtt.rto() + 50*Millisecond)
		c.write(c.conn.snd.nxt.Sub(c.iss), 100_000)
		if got := c.conn.cc.cwnd; got != w/4 {
			c.Errorf("two time-outs of silence: cwnd %d -> %d, want a quarter", w, got)
		}
		if got := c.conn.cc.ssthresh; got != w/4*3 {
			c.Errorf("ssthresh %d does not remember the window of %d", got, w)
		}
	})
}

// While the application sends little the curve stands still: afterwards the window goes on from where it was.
func TestValidation_pauseIsNoTimeOfCubic(t *testing.T) {
	grown := map[bool]uint32{}
	for _, pause := range []bool{false, true} {
		converse(t, Config{}, func(c *talk) {
			c.accepted(sacking)
			c.conn.cc.set(40_000)
			c.conn.cc.ssthresh = 40_000
			c.round(20 * Millisecond)
			if pause {
				for range 500 {
					c.request(1000, 20*Millisecond)
				}
			}
			for range 5 {
				c.round(20 * Millisecond)
			}
			grown[pause] = c.conn.cc.cwnd
		})
	}
	if a, b := grown[false], grown[true]; b > a+2000 {
		t.Errorf("cwnd %d without a pause of 10 s, %d with it (RFC 9438, section 5.8)", a, b)
	}
}

// A window that is not used is kept for five minutes, then it is halved, for each five minutes that follow, and ssthresh remembers
// it (RFC 7661, section 4.4.3).
func TestValidation_anUnusedWindowLapses(t *testing.T) {
	for _, g := range []Congestion{Cubic, Reno} {
		converse(t, Config{}, func(c *talk) {
			c.quiet = true
			o := sacking
			o.listen.Options.Congestion = g
			c.accepted(o)
			c.conn.cc.set(80_000)
			c.conn.cc.ssthresh = 30_000
			c.conn.rtt.srtt = Second
			start := c.now
			for _, want := range []struct {
				until            Duration
				cwnd, remembered uint32
			}{{290 * Second, 80_000, 30_000}, {302 * Second, 40_000, 60_000}, {590 * Second, 40_000, 60_000},
				{604 * Second, 20_000, 60_000}, {906 * Second, 10_000, 60_000}, {1210 * Second, 10_000, 60_000}} {
				for c.now.Sub(start) < want.until {
					c.request(1000, Second)
				}
				if w := &c.conn.cc; w.cwnd != want.cwnd || w.ssthresh != want.remembered {
					c.Errorf("%v: after %d s cwnd %d, ssthresh %d; want %d and %d",
						g, want.until/Second, w.cwnd, w.ssthresh, want.cwnd, want.remembered)
				}
			}
		})
	}
}
