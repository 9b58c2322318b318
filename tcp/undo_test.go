package tcp

import "testing"

// timed is a peer with SACK and timestamps; a full segment carries 1000 bytes.
var timed = peerOptions{mss: 1012, scale: 7, sack: true, ts: true}

// echo makes an acknowledgement that echoes the timestamp clock of a moment ago.
func (c *talk) echo(s seg, ago Duration) seg {
	s.ts = &[2]uint32{c.peerClock(), c.conn.tsNow(c.now.Add(-ago))}
	return s
}

func TestUndo_recoveryByTimestamps(t *testing.T) {
	for _, g := range []Congestion{Cubic, Reno} {
		converse(t, Config{}, func(c *talk) {
			o := timed
			o.listen.Options.Congestion = g
			c.inFlight(o, 10)
			before, learnt := c.conn.cc, c.conn.cc.cubic
			c.advance(10 * Millisecond)
			c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{1001, 5001}}})
			c.want("it seems lost", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
			c.advance(2 * Millisecond)
			c.send(c.echo(seg{flags: ACK, seq: 1, ack: 5001}, 14*Millisecond))
			i := c.table.Info(c.now, c.conn)
			if i.InRecovery || i.Undone != 1 || i.Ssthresh != 0 || c.conn.cc.cwnd < before.cwnd || !i.Reordering {
				c.Errorf("%v: the original has arrived (RFC 3522, section 3.2): %+v", g, i)
			}
			if c.conn.cc.cubic != learnt {
				c.Errorf("CUBIC's state was not put back (RFC 9438, section 4.9): %+v, was %+v", c.conn.cc.cubic, learnt)
			}
			if n := c.table.Counters().RecoveriesUndone; n != 1 {
				c.Errorf("counted %d", n)
			}
		})
	}
}

func TestUndo_notWhenTheRetransmissionIsAcknowledged(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(timed, 10)
		c.advance(10 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{1001, 5001}}})
		c.want("it is lost", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		c.advance(10 * Millisecond)
		c.send(c.echo(seg{flags: ACK, seq: 1, ack: 5001}, 10*Millisecond))
		if i := c.table.Info(c.now, c.conn); !i.InRecovery || i.Undone != 0 {
			c.Errorf("%+v", i)
		}
	})
}

// A retransmission that is sacked leaves the peer's TS.Recent where it was: the old timestamp in the echo means nothing.
func TestUndo_notWhenARetransmissionIsSacked(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(timed, 10)
		c.advance(10 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{3001, 6001}}})
		c.want("the first is lost", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{3001, 8001}}})
		c.want("the second too", seg{flags: ACK, seq: 1001, ack: 1, len: 1000})
		c.advance(10 * Millisecond)
		c.send(c.echo(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{1001, 2001}, {3001, 8001}}}, 30*Millisecond))
		if c.conn.rack.sent != c.now.Add(-10*Millisecond) {
			c.Error("RACK does not know that the retransmission has arrived")
		}
		if i := c.table.Info(c.now, c.conn); !i.InRecovery || i.Undone != 0 {
			c.Errorf("%+v", i)
		}
	})
}

func TestUndo_recoveryByDSACK(t *testing.T) {
	for _, late := range []bool{false, true} {
		converse(t, Config{}, func(c *talk) {
			c.inFlight(sacking, 10)
			before := c.conn.cc.cwnd
			c.advance(10 * Millisecond)
			c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{2001, 6001}}})
			c.want("the first seems lost", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
			c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{2001, 8001}}})
			c.want("and the second", seg{flags: ACK, seq: 1001, ack: 1, len: 1000})
			c.advance(5 * Millisecond)
			if late {
				c.send(seg{flags: ACK, seq: 1, ack: 10_001})
				c.write(10_001, 1000)
				c.discard()
			}
			ack := 8001
			if late {
				ack = 10_001
			}
			c.send(seg{flags: ACK, seq: 1, ack: ack, sacks: []span{{1, 1001}}})
			if i := c.table.Info(c.now, c.conn); i.Undone != 0 {
				c.Errorf("one of two was in vain, the other may have been needed: %+v", i)
			}
			c.send(seg{flags: ACK, seq: 1, ack: ack, sacks: []span{{1001, 2001}}})
			if i := c.table.Info(c.now, c.conn); i.Undone != 1 || i.Ssthresh != 0 || i.Cwnd < int(before) || i.InRecovery {
				c.Errorf("everything that was sent again arrived twice: %+v", i)
			}
		})
	}
}

// The report comes when nobody can tell any more what it is about.
func TestUndo_endsWithTheRoundTrip(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(sacking, 10)
		c.advance(10 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{1001, 6001}}})
		c.want("lost", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		c.send(seg{flags: ACK, seq: 1, ack: 10_001})
		c.write(10_001, 1000)
		c.received(10 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 11_001, sacks: []span{{1, 1001}}})
		if i := c.table.Info(c.now, c.conn); i.Undone != 0 || i.Ssthresh == 0 {
			c.Errorf("%+v", i)
		}
	})
}

func TestUndo_timeoutByTimestamps(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		o := timed
		o.sack = false
		c.inFlight(o, 10)
		before := c.conn.cc.cwnd
		late := c.advanceToTimer()
		c.want("a time-out", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		c.advance(10 * Millisecond)
		c.send(c.echo(seg{flags: ACK, seq: 1, ack: 2001}, late+15*Millisecond))
		if i := c.table.Info(c.now, c.conn); i.Undone != 1 || i.Lost != 0 || i.InRecovery || i.Cwnd < int(before) || i.Ssthresh != 0 {
			c.Errorf("the originals are only late: %+v", i)
		}
		c.wantIdle("and nothing more is sent again")
		if n := c.table.Counters().TimeoutsUndone; n != 1 {
			c.Errorf("counted %d", n)
		}
	})
}

func TestFRTO_withSACK(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(sacking, 10)
		before := c.conn.cc.cwnd
		c.advanceToTimer()
		c.want("a probe", seg{flags: ACK | PSH, seq: 9001, ack: 1, len: 1000})
		c.advanceToTimer()
		c.want("a time-out", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		c.send(seg{flags: ACK, seq: 1, ack: 2001})
		i := c.table.Info(c.now, c.conn)
		if i.Undone != 1 || i.Cwnd < int(before) || i.InRecovery || i.Lost != 0 {
			c.Errorf("what was never sent again is acknowledged (RFC 5682, section 3.1): %+v", i)
		}
		c.wantIdle("the rest is under way")
		if i.RTO < 260*Millisecond {
			c.Errorf("the time-out is %d ms: nothing was learned of the delay (RFC 4015, section 3.3)", i.RTO/Millisecond)
		}
		c.send(seg{flags: ACK, seq: 1, ack: 10_001})
	})
}

func TestFRTO_realLoss(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(sacking, 10)
		c.advanceToTimer()
		c.discard()
		c.advanceToTimer()
		c.want("a time-out", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		c.write(10_001, 5000)
		c.wantIdle("the window is one segment")
		c.advance(10 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 1001})
		c.want("new data first (RFC 5682, section 2.1, step 2b)", seg{flags: ACK, seq: 10_001, ack: 1, len: 2000})
		c.wantIdle("two segments")
		c.advance(10 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 1001, sacks: []span{{10_001, 12_001}}})
		c.want("a duplicate: the loss was real (step 3a)", seg{flags: ACK, seq: 1001, ack: 1, len: 1000})
		if i := c.table.Info(c.now, c.conn); i.Undone != 0 || !i.InRecovery {
			c.Errorf("%+v", i)
		}
	})
}

func TestFRTO_withoutSACK(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(plain, 10)
		before := c.conn.cc.cwnd
		c.write(10_001, 5000)
		c.advanceToTimer()
		c.want("a time-out", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		c.send(seg{flags: ACK, seq: 1, ack: 2001})
		c.want("the first acknowledgement may be of what the peer kept: new data", seg{flags: ACK, seq: 10_001, ack: 1, len: 2000})
		c.wantIdle("two segments (RFC 5682, section 2.1, step 2b)")
		c.send(seg{flags: ACK, seq: 1, ack: 4001})
		if i := c.table.Info(c.now, c.conn); i.Undone != 1 || i.Cwnd < int(before) || i.InRecovery || i.Lost != 0 {
			c.Errorf("the second advances too: the time-out was spurious (step 3b): %+v", i)
		}
	})
}

func TestFRTO_withoutSACKRealLoss(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(plain, 10)
		c.write(10_001, 5000)
		c.advanceToTimer()
		c.want("a time-out", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		c.send(seg{flags: ACK, seq: 1, ack: 3001})
		c.want("new data", seg{flags: ACK, seq: 10_001, ack: 1, len: 2000})
		c.send(seg{flags: ACK, seq: 1, ack: 3001})
		c.want("a duplicate: back to what is lost", seg{flags: ACK, seq: 3001, ack: 1, len: 1000})
		if i := c.table.Info(c.now, c.conn); i.Undone != 0 {
			c.Errorf("%+v", i)
		}
	})
}

func TestFRTO_secondTimeout(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(sacking, 10)
		before := c.conn.cc.cwnd
		for _, why := range []string{"a probe", "a time-out", "another"} {
			c.advanceToTimer()
			c.line("  %s", why)
			c.discard()
		}
		c.send(seg{flags: ACK, seq: 1, ack: 2001})
		if i := c.table.Info(c.now, c.conn); i.Timeouts != 2 || i.Undone != 1 || i.Cwnd < int(before) || i.Ssthresh != 0 {
			c.Errorf("the path slept for two time-outs, nothing was lost: %+v", i)
		}
	})
}

// A time-out that was spurious does not prove that the recovery before it was.
func TestFRTO_doesNotUndoARecovery(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(sacking, 10)
		c.advance(10 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{1001, 5001}}})
		c.want("lost", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		for range 2 {
			c.advanceToTimer()
			c.discard()
		}
		c.send(seg{flags: ACK, seq: 1, ack: 6001})
		if i := c.table.Info(c.now, c.conn); i.Timeouts != 2 || i.Undone != 0 || i.Ssthresh == 0 {
			c.Errorf("%+v", i)
		}
	})
}

func TestDSACK_insideTheSecondBlock(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(sacking, 10)
		c.send(seg{flags: ACK, seq: 1, ack: 1001, sacks: []span{{3001, 4001}, {2001, 5001}}})
		if i := c.table.Info(c.now, c.conn); i.DSACKs != 1 || i.Sacked != 3000 {
			c.Errorf("the first block lies in the second: a duplicate (RFC 2883, section 5): %+v", i)
		}
	})
}
