package tcp

import "testing"

// round sends a full window, and lets it be acknowledged segment by segment pair after a round trip of rtt.
func (c *talk) round(rtt Duration) {
	c.Helper()
	start := c.conn.snd.nxt.Sub(c.iss)
	n := int(c.conn.cc.cwnd)
	c.write(start, n)
	c.discard()
	c.advance(rtt)
	end := c.conn.snd.nxt.Sub(c.iss)
	for at := start; at < end; {
		at = min(at+2000, end)
		c.send(seg{flags: ACK, seq: 1, ack: at})
	}
	c.discard()
}

func TestHyStart_endsSlowStart(t *testing.T) {
	for _, g := range []Congestion{Cubic, Reno} {
		converse(t, Config{}, func(c *talk) {
			o := sacking
			o.listen.Options.Congestion, o.listen.Options.Pacing = g, PacingOff
			c.accepted(o)
			c.conn.cc.set(20_000)
			c.round(20 * Millisecond)
			c.round(20 * Millisecond)
			w := c.conn.cc.cwnd
			if w != 80_000 || c.conn.cc.hystart.css {
				c.Errorf("slow start doubles while the round trip is short: %d bytes, want 80,000", w)
			}
			c.round(25 * Millisecond)
			if !c.conn.cc.hystart.css || c.conn.cc.cwnd >= 160_000-20_000 {
				c.Errorf("5 ms more than a round before: Conservative Slow Start (RFC 9406, section 4.2); cwnd %d", c.conn.cc.cwnd)
			}
			w = c.conn.cc.cwnd
			c.round(25 * Millisecond)
			if got := c.conn.cc.cwnd; got < w*5/4-1000 || got > w*5/4+1000 {
				c.Errorf("cwnd %d after %d: a quarter as fast", got, w)
			}
			for range 4 {
				c.round(25 * Millisecond)
			}
			if i := c.table.Info(c.now, c.conn); i.Ssthresh == 0 || i.Ssthresh > i.Cwnd {
				c.Errorf("slow start is over after CSS_ROUNDS: %+v", i)
			}
		})
	}
}

func TestHyStart_noise(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(sacking)
		c.conn.cc.set(20_000)
		c.round(20 * Millisecond)
		c.round(26 * Millisecond)
		if !c.conn.cc.hystart.css {
			c.Error("Conservative Slow Start began")
		}
		c.round(20 * Millisecond)
		if c.conn.cc.hystart.css {
			c.Error("the next round is as short as before: slow start goes on (RFC 9406, section 4.2)")
		}
		w := c.conn.cc.cwnd
		c.round(20 * Millisecond)
		if c.conn.cc.cwnd != 2*w || c.conn.cc.ssthresh != infiniteSsth {
			c.Errorf("cwnd %d after %d", c.conn.cc.cwnd, w)
		}
	})
}

// One acknowledgement answers a whole super-packet, so a round has few of them.
func TestHyStart_superPackets(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		o := sacking
		o.listen.Options.Pacing = PacingOff
		c.accepted(o)
		c.conn.cc.set(40_000)
		for _, rtt := range []Duration{20, 20, 25} {
			c.write(c.conn.snd.nxt.Sub(c.iss), int(c.conn.cc.cwnd))
			c.received(rtt * Millisecond)
		}
		if !c.conn.cc.hystart.css {
			c.Error("an acknowledgement of 40 segments stands for those of every second segment")
		}
	})
}

func TestHyStart_onlyOnce(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(sacking)
		c.conn.cc.set(20_000)
		c.conn.cc.ssthresh = 1_000_000
		c.round(20 * Millisecond)
		c.round(50 * Millisecond)
		if c.conn.cc.cwnd != 80_000 || c.conn.cc.hystart != (hystart{}) {
			c.Errorf("a slow start up to a known threshold is not HyStart++'s (RFC 9406, section 4.3): cwnd %d", c.conn.cc.cwnd)
		}
	})
}
