package tcp

import "testing"

var sacking = peerOptions{mss: 1000, scale: 7, sack: true}

// received acknowledges everything, at the end of a round trip of d.
func (c *talk) received(d Duration) {
	c.Helper()
	c.discard()
	c.advance(d)
	c.send(seg{flags: ACK, seq: 1, ack: c.conn.snd.nxt.Sub(c.iss)})
}

func TestTLP_repeatsTheTail(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(sacking, 5)
		if d := c.advanceToTimer(); d > 25*Millisecond {
			c.Errorf("the probe came after %d ms, want two round trips of 10 ms", d/Millisecond)
		}
		c.want("no new data: the last segment again (RFC 8985, section 7.3)", seg{flags: ACK | PSH, seq: 4001, ack: 1, len: 1000})
		c.wantIdle("one probe")
		c.advance(10 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 3001, sacks: []span{{4001, 5001}}})
		c.want("what was sent before the probe is lost", seg{flags: ACK, seq: 3001, ack: 1, len: 1000})
		c.advance(10 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 5001})
		if i := c.table.Info(c.now, c.conn); i.Timeouts != 0 || i.LossProbes != 1 || i.InRecovery || i.Ssthresh == 0 {
			c.Errorf("%+v", i)
		}
	})
}

// What the probe repeats was sent when there were no SACK blocks to carry.
func TestTLP_leavesRoomForBlocks(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(sacking, 5)
		c.send(seg{flags: ACK, seq: 101, ack: 1, len: 100})
		c.want("a hole", seg{flags: ACK, seq: 5001, ack: 1, sacks: []span{{101, 201}}})
		c.advanceToTimer()
		c.want("the rest of a segment that is 12 bytes shorter now", seg{flags: ACK | PSH, seq: 4989, ack: 1, len: 12, sacks: []span{{101, 201}}})
	})
}

func TestTLP_lostSuperPacket(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(sacking)
		c.conn.cc.set(70_000)
		c.write(1, 60_000)
		c.want("one packet", seg{flags: ACK | PSH, seq: 1, ack: 1, len: 60_000})
		c.advanceToTimer()
		c.want("its last segment", seg{flags: ACK | PSH, seq: 59_001, ack: 1, len: 1000})
		c.advance(10 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{59_001, 60_001}}})
		c.want("all the rest is lost; PRR begins with one segment", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		for at := 1001; at < 59_001; {
			c.advance(10 * Millisecond)
			c.send(seg{flags: ACK, seq: 1, ack: at, sacks: []span{{59_001, 60_001}}})
			g := c.inbox[0]
			c.inbox = c.inbox[1:]
			if g.seq != at || g.len < 1000 {
				c.Fatalf("want the next part, from %d on, got %v", at, g.describe(g.len))
			}
			at += g.len
		}
		c.send(seg{flags: ACK, seq: 1, ack: 60_001})
		if i := c.table.Info(c.now, c.conn); i.Timeouts != 0 || i.InRecovery {
			c.Errorf("%+v", i)
		}
	})
}

func TestTLP_prefersNewData(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(sacking)
		c.write(1, 13_500)
		c.want("a full window", seg{flags: ACK, seq: 1, ack: 1, len: 10_000})
		c.advanceToTimer()
		c.want("the next segment, whatever the congestion window says", seg{flags: ACK, seq: 10_001, ack: 1, len: 1000})
		c.wantIdle("one")
		c.advance(10 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 11_001})
		c.discard()
		if i := c.table.Info(c.now, c.conn); i.Ssthresh != 0 || i.Retransmits != 0 {
			c.Errorf("nothing was lost: %+v", i)
		}
	})
}

// A probe that repairs the loss of the last segment by itself would hide it from congestion control.
func TestTLP_repairIsCongestion(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(sacking, 4)
		c.advance(5 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 3001})
		c.advanceToTimer()
		c.want("the tail", seg{flags: ACK | PSH, seq: 3001, ack: 1, len: 1000})
		c.advance(10 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 4001})
		before := c.conn.cc.cwnd
		c.write(4001, 1000)
		c.received(10 * Millisecond)
		if c.conn.cc.cwnd >= before || c.table.Counters().LossProbeRepairs != 1 {
			c.Errorf("one acknowledgement for two transmissions: one was lost (RFC 8985, section 7.4); cwnd %d -> %d", before, c.conn.cc.cwnd)
		}
	})
}

func TestTLP_duplicateIsNoCongestion(t *testing.T) {
	for _, how := range []string{"DSACK", "duplicate"} {
		converse(t, Config{}, func(c *talk) {
			c.inFlight(sacking, 1)
			c.advanceToTimer()
			c.want("the tail", seg{flags: ACK | PSH, seq: 1, ack: 1, len: 1000})
			c.send(seg{flags: ACK, seq: 1, ack: 1001})
			c.write(1001, 1000)
			c.discard()
			s := seg{flags: ACK, seq: 1, ack: 1001}
			if how == "DSACK" {
				s.sacks = []span{{1, 1001}}
			}
			c.send(s)
			c.received(10 * Millisecond)
			if i := c.table.Info(c.now, c.conn); i.Ssthresh != 0 {
				c.Errorf("%s: both arrived (RFC 8985, section 7.4): %+v", how, i)
			}
			if c.conn.reorder.mult != 0 {
				c.Errorf("%s: the probe's duplicate says nothing of reordering", how)
			}
		})
	}
}

func TestTLP_loneSegmentWaitsForADelayedAck(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(sacking, 1)
		if d := c.advanceToTimer(); d < 200*Millisecond {
			c.Errorf("%d ms: the peer may delay its acknowledgement", d/Millisecond)
		}
		c.want("the probe takes the place of the time-out", seg{flags: ACK | PSH, seq: 1, ack: 1, len: 1000})
		if i := c.table.Info(c.now, c.conn); i.Timeouts != 0 || i.Cwnd < 10_000 {
			c.Errorf("%+v", i)
		}
		c.advanceToTimer()
		c.want("then the time-out comes", seg{flags: ACK | PSH, seq: 1, ack: 1, len: 1000})
		if i := c.table.Info(c.now, c.conn); i.Timeouts != 1 || i.LossProbes != 1 {
			c.Errorf("%+v", i)
		}
	})
}

func TestTLP_withFIN(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(sacking)
		c.write(1, 3000)
		c.closeWrite()
		c.discard()
		c.advanceToTimer()
		c.want("the last data goes with the FIN that follows it", seg{flags: ACK | PSH | FIN, seq: 2001, ack: 1, len: 1000})
		c.advance(10 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{2001, 3001}}})
		c.want("what came before it was lost", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		c.send(seg{flags: ACK, seq: 1, ack: 1001, sacks: []span{{2001, 3001}}})
		c.want("and the next", seg{flags: ACK, seq: 1001, ack: 1, len: 1000})
		c.send(seg{flags: ACK, seq: 1, ack: 3002})
		c.wantState("everything arrived", FinWait2)
	})
}

func TestTLP_notWithoutSACK(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(plain, 4)
		c.advanceToTimer()
		c.want("the time-out", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		if i := c.table.Info(c.now, c.conn); i.Timeouts != 1 || i.LossProbes != 0 {
			c.Errorf("%+v", i)
		}
	})
}

func TestTLP_windowTooSmallForNewData(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(sacking)
		c.send(seg{flags: ACK, seq: 1, ack: 1, win: 78}) // 9984 bytes
		c.write(1, 13_500)
		c.want("what the window takes", seg{flags: ACK | PSH, seq: 1, ack: 1, len: 9000})
		c.advanceToTimer()
		c.want("the peer could not keep the next: the last again", seg{flags: ACK, seq: 8001, ack: 1, len: 1000})
	})
}

func TestTLP_oneAtATime(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(sacking, 5)
		c.advanceToTimer()
		c.want("a probe", seg{flags: ACK | PSH, seq: 4001, ack: 1, len: 1000})
		c.write(5001, 1000)
		c.want("new data", seg{flags: ACK | PSH, seq: 5001, ack: 1, len: 1000})
		c.advanceToTimer()
		c.want("no second probe before the first was answered, but the time-out", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
	})
}
