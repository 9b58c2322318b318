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

// On a long path with a queue of two round trips, round-trip times alone end slow start when a third of the window is lost:
// 43 of 97 Mbit/s in nine seconds of 300 ms. The train tells in time; and with 170 ms five rounds of CSS would be too many.
func TestHyStart_train(t *testing.T) {
	for _, g := range []Congestion{Cubic, Reno} {
		for _, rtt := range []Duration{170, 300} {
			b := newBottleneckDelay(t, Options{Congestion: g, ReceiveBuffer: 32 << 20, SendBuffer: 64 << 20}, rtt*Millisecond)
			path := uint32(b.rate * int64(b.delay) / int64(Second))
			b.queue = 2 * int64(path)
			if !b.until(b.now.Add(4*Second), func() bool { return b.sender.cc.hystart.css }) {
				t.Fatalf("%v, %d ms: slow start goes on with cwnd %d", g, rtt, b.sender.cc.cwnd)
			}
			if w := b.sender.cc.cwnd; w < path*9/10 || w > path*16/10 {
				t.Errorf("%v, %d ms: Conservative Slow Start begins with cwnd %d, and the path holds %d", g, rtt, w, path)
			}
			n := b.run(6 * Second)
			if b.overflows > 0 || n < 6*12_000_000*95/100 {
				t.Errorf("%v, %d ms: %d packets dropped, %d bytes in six seconds", g, rtt, b.overflows, n)
			}
		}
	}
}

// What pacing spreads over the round trip looks like a train and is none.
func TestHyStart_paced(t *testing.T) {
	b := newBottleneckDelay(t, Options{Pacing: PacingOn, ReceiveBuffer: 32 << 20, SendBuffer: 64 << 20}, 100*Millisecond)
	b.rate, b.queue = 1_000_000_000, 1<<30
	grown := func() bool { return b.sender.cc.cwnd > 8_000_000 }
	if !b.until(b.now.Add(2*Second), func() bool { return grown() || b.sender.cc.hystart.css }) || !grown() {
		t.Errorf("cwnd %d: %+v", b.sender.cc.cwnd, b.sender.cc.hystart)
	}
}

// The handshake may have been a nearer one's: the train is as long as the round trips of data want it.
func TestHyStart_handshakeOfAProxy(t *testing.T) {
	b := newBottleneck(t, Options{ReceiveBuffer: 32 << 20, SendBuffer: 64 << 20})
	b.delay, b.queue = 100*Millisecond, 2_500_000
	b.receiver.rcv.limit = b.receiver.rcv.max
	b.until(b.now.Add(4*Second), func() bool { return b.sender.cc.hystart.css })
	if w := b.sender.cc.cwnd; w < 1_000_000 {
		t.Errorf("Conservative Slow Start begins with cwnd %d, and the path holds 1,250,000", w)
	}
}
