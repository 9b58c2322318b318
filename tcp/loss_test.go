package tcp

import "testing"

// inFlight opens a connection and sends n segments of 1000 bytes, one packet each.
func (c *talk) inFlight(o peerOptions, n int) {
	c.Helper()
	c.accepted(o)
	c.table.SetNoDelay(c.now, c.conn, true)
	size := int(c.conn.snd.mss)
	for i := range n {
		c.write(1+i*size, size)
		c.advance(Millisecond)
	}
	if len(c.inbox) != n {
		c.Fatalf("%d packets in flight, want %d", len(c.inbox), n)
	}
	c.discard()
}

func TestLoss_fastRetransmitWithSACK(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(peerOptions{mss: 1000, scale: 7, sack: true}, 10)
		c.advance(5 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 1001, sacks: []span{{2001, 3001}}})
		c.send(seg{flags: ACK, seq: 1, ack: 1001, sacks: []span{{2001, 4001}}})
		c.wantIdle("less than three segments overtook it")
		c.send(seg{flags: ACK, seq: 1, ack: 1001, sacks: []span{{2001, 5001}}})
		c.want("three did: it is lost", seg{flags: ACK, seq: 1001, ack: 1, len: 1000})
		i := c.table.Info(c.now, c.conn)
		if !i.InRecovery || i.Ssthresh >= 10_000 || i.Lost != 0 || i.Sacked != 3000 {
			c.Errorf("%+v", i)
		}
		c.send(seg{flags: ACK, seq: 1, ack: 10_001})
		if i := c.table.Info(c.now, c.conn); i.InRecovery || i.Retransmits != 1 || i.Unacked != 0 || i.Cwnd != i.Ssthresh {
			c.Errorf("after the recovery: %+v", i)
		}
		c.advance(Minute)
		c.wantIdle("nothing is left")
	})
}

func TestLoss_lostRetransmissionIsNoticed(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(peerOptions{mss: 1000, scale: 7, sack: true}, 6)
		c.advance(5 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{1001, 5001}}})
		c.want("lost", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		c.write(6001, 1000)
		c.want("new data goes on", seg{flags: ACK | PSH, seq: 6001, ack: 1, len: 1000})
		c.advance(11 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{1001, 7001}}})
		c.advance(100 * Millisecond)
		c.want("what was sent after the retransmission has arrived (RACK)", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
	})
}

func TestLoss_newReno(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		o := plain
		o.listen.Options.Congestion = Reno // halves the window: what goes again at once has no room in it
		c.inFlight(o, 10)
		for range 2 {
			c.send(seg{flags: ACK, seq: 1, ack: 1})
		}
		c.wantIdle("two duplicates may be disorder")
		c.send(seg{flags: ACK, seq: 1, ack: 1})
		c.want("the third retransmits (RFC 5681, section 3.2)", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		c.send(seg{flags: ACK, seq: 1, ack: 1})
		c.wantIdle("only once")
		c.send(seg{flags: ACK, seq: 1, ack: 4001})
		c.want("a partial acknowledgement retransmits the next hole at once (RFC 6582)", seg{flags: ACK, seq: 4001, ack: 1, len: 1000})
		c.send(seg{flags: ACK, seq: 1, ack: 10_001})
		if i := c.table.Info(c.now, c.conn); i.InRecovery || i.Retransmits != 2 || i.Timeouts != 0 {
			c.Errorf("%+v", i)
		}
	})
}

func TestLoss_windowUpdatesAreNoDuplicates(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(plain, 8)
		for i := range 5 {
			c.send(seg{flags: ACK, seq: 1 + i, ack: 1, win: 50_000 + i})
			c.send(seg{flags: ACK, seq: 1 + i, ack: 1, win: 50_000 + i, len: 1})
		}
		if n := c.table.Counters().Retransmits; n != 0 {
			c.Errorf("%d retransmissions", n)
		}
	})
}

func TestLoss_timeout(t *testing.T) {
	for _, o := range []peerOptions{plain, {mss: 1000, scale: 7, sack: true}} {
		converse(t, Config{}, func(c *talk) {
			c.inFlight(o, 10)
			c.advanceToTimer()
			if o.sack {
				c.want("first a probe (RFC 8985, section 7)", seg{flags: ACK | PSH, seq: 9001, ack: 1, len: 1000})
				c.advanceToTimer()
			}
			c.want("one segment after a time-out (RFC 5681, section 3.1)", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
			c.wantIdle("and no more")
			first := c.advanceToTimer()
			c.want("again", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
			second := c.advanceToTimer()
			c.want("and again", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
			if second < first*19/10 {
				c.Errorf("the time-out does not double (RFC 6298, 5.5): %d ms, %d ms", first/Millisecond, second/Millisecond)
			}
			c.advance(10 * Millisecond)
			rtt := c.conn.rtt
			c.send(seg{flags: ACK, seq: 1, ack: 1001})
			if c.conn.rtt.srtt != rtt.srtt {
				c.Error("a segment that was sent again was measured (Karn)")
			}
			c.want("slow start begins anew", seg{flags: ACK, seq: 1001, ack: 1, len: 1000})
			c.want("with two", seg{flags: ACK, seq: 2001, ack: 1, len: 1000})
			c.wantIdle("and no more")
			c.send(seg{flags: ACK, seq: 1, ack: 10_001})
			c.write(10_001, 1000)
			c.want("all arrived after all", seg{flags: ACK | PSH, seq: 10_001, ack: 1, len: 1000})
			if i := c.table.Info(c.now, c.conn); i.InRecovery || i.Timeouts != 3 {
				c.Errorf("%+v", i)
			}
		})
	}
}

func TestLoss_timestampsMeasureRetransmissions(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(modern, 1)
		c.advanceToTimer()
		c.want("lost", seg{flags: ACK | PSH, seq: 1, ack: 1, len: 988})
		c.advance(30 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 989})
		if d := c.conn.rtt.last; d < 29*Millisecond || d > 31*Millisecond {
			c.Errorf("measured %d us by the timestamp, want 30 ms", d/Microsecond)
		}
	})
}

func TestLoss_userTimeout(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		o := plain
		o.listen.Options.UserTimeout = 10 * Second
		c.inFlight(o, 1)
		start := c.now
		for c.conn.Err() == nil {
			c.advance(100 * Millisecond)
		}
		if d := c.now.Sub(start); c.conn.Err() != ErrTimeout || d < 10*Second || d > 30*Second {
			c.Errorf("%v after %d s", c.conn.Err(), d/Second)
		}
		c.wantEvent("waiters wake", EventWritable)
		c.close()
		c.wantGone()
	})
}

// The machine sleeps, or the process is stopped: nobody may lose a connection for it.
func TestAttack_T08_aLongPause(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		o := plain
		o.listen.Options.UserTimeout = 10 * Second
		c.inFlight(o, 4)
		c.now = c.now.Add(Hour)
		c.tick(c.now)
		c.wantState("one time-out is one", Established)
		c.want("it is sent again", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		c.send(seg{flags: ACK, seq: 1, ack: 4001})
		c.wantIdle("and everything goes on")
	})
}

func TestLoss_reneging(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(peerOptions{mss: 1000, scale: 7, sack: true}, 2)
		c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{1001, 2001}}})
		c.send(seg{flags: ACK, seq: 1, ack: 1001})
		c.discard()
		for range 3 {
			c.advanceToTimer()
			c.want("the peer sacked it and threw it away (RFC 2018, section 8)", seg{flags: ACK | PSH, seq: 1001, ack: 1, len: 1000})
		}
		c.send(seg{flags: ACK, seq: 1, ack: 2001})
		c.wantState("it got it in the end", Established)
	})
}

func TestAttack_E07_badSACKs(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(peerOptions{mss: 1000, scale: 7, sack: true}, 8)
		before := c.table.Info(c.now, c.conn)
		for _, b := range []span{{2001, 2001}, {3001, 2001}, {7001, 9001}, {9001, 10_001}, {1 << 31, 1}, {2001, 1 << 31}} {
			c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{b}})
			if i := c.table.Info(c.now, c.conn); i.Sacked != 0 || i.Pipe != before.Pipe {
				c.Fatalf("block %v was believed: %+v", b, i)
			}
		}
		c.send(seg{flags: ACK, seq: 1, ack: 2001, sacks: []span{{1, 1001}}})
		if n := c.table.Info(c.now, c.conn).DSACKs; n != 1 {
			c.Errorf("%d DSACKs counted", n)
		}
	})
}

func TestAttack_E07_scoreboardIsBounded(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.quiet = true
		c.accepted(sacking)
		c.conn.cc.set(100_000)
		c.write(1, 100_000)
		for i := 1; i < 90_000; i += 8 {
			s := seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{Seq(i + 1), Seq(i + 2)}, {Seq(i + 3), Seq(i + 4)}, {Seq(i + 5), Seq(i + 6)}}}
			if i%4001 == 1 {
				c.send(s)
			} else {
				c.arriveUnchecked(s)
			}
		}
		c.check()
		if n := int(c.conn.flight.n); n > 2*minFlight+2 {
			c.Errorf("%d records", n)
		}
		c.send(seg{flags: ACK, seq: 1, ack: 100_001})
		if i := c.table.Info(c.now, c.conn); i.Unacked != 0 || i.Pipe != 0 {
			c.Errorf("%+v", i)
		}
	})
}

// Stretches that are cut to pieces and then sacked as one leave blocks of few records: those are joined, or each would keep the memory
// of a full one, some 40 MB for a flight of 4 MiB.
func TestAttack_E07_blocksAreJoined(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.quiet = true
		c.accepted(sacking)
		c.conn.cc.set(100_000)
		c.write(1, 60_000)
		const stretch = 132
		for at := 1; at < 58_000; at += stretch {
			for i := at; i < at+stretch; i += 8 {
				c.arriveUnchecked(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{Seq(i + 1), Seq(i + 2)}, {Seq(i + 3), Seq(i + 4)}, {Seq(i + 5), Seq(i + 6)}, {Seq(i + 7), Seq(i + 8)}}})
			}
			c.arriveUnchecked(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{Seq(at + 1), Seq(at + stretch - 1)}}})
		}
		c.check()
		f := &c.conn.flight
		if n := len(f.blocks); n > 2+int(f.n)/(blockRecords/4) || f.bytes() > 100_000 {
			c.Errorf("%d records in %d blocks, %d bytes", f.n, n, f.bytes())
		}
	})
}

// Where a connection's numbers begin says nothing about reordering.
func TestLoss_noReorderingSeenWithoutIt(t *testing.T) {
	for secret := range byte(8) {
		converse(t, Config{Secret: [16]byte{secret, 1}}, func(c *talk) {
			c.inFlight(peerOptions{mss: 1000, scale: 7, sack: true}, 4)
			c.write(4001, 2000)
			c.advance(10 * Millisecond)
			c.send(seg{flags: ACK, seq: 1, ack: 2001})
			c.send(seg{flags: ACK, seq: 1, ack: 4001, sacks: []span{{5001, 6001}}})
			if c.conn.reorder.seen {
				c.Error("everything arrived in order")
			}
			c.send(seg{flags: ACK, seq: 1, ack: 6001})
			if !c.conn.reorder.seen {
				c.Error("what was sent earlier arrived later (RFC 8985, section 6.2, step 3)")
			}
		})
	}
}

func TestLoss_idleTimeCountsOnce(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.send(seg{flags: ACK, seq: 1, ack: 1, win: closed})
		start := c.now
		c.table.remembers(c.conn)
		c.conn.cc.cubic.epoch = start
		c.write(1, 100)
		for range 20 {
			c.advance(10 * Second)
			c.send(seg{flags: ACK, seq: 1, ack: 1, win: closed})
			c.discard()
		}
		if moved := c.conn.cc.cubic.epoch.Sub(start); moved > c.now.Sub(start) {
			c.Errorf("a pause of %d s moved CUBIC's epoch by %d s", c.now.Sub(start)/Second, moved/Second)
		}
	})
}

func TestLoss_idleWindowIsValidated(t *testing.T) {
	for _, g := range []Congestion{Cubic, Reno} {
		converse(t, Config{}, func(c *talk) {
			o := plain
			o.listen.Options.Congestion = g
			c.inFlight(o, 10)
			c.send(seg{flags: ACK, seq: 1, ack: 10_001})
			grown := c.conn.cc.cwnd
			c.advance(10 * Second)
			c.write(10_001, 20_000)
			c.want("after a pause the initial window (RFC 5681, section 4.1)", seg{flags: ACK, seq: 10_001, ack: 1, len: 10_000})
			if grown <= 10_000 {
				c.Errorf("the window had not grown: %d", grown)
			}
		})
	}
}

func TestLoss_reorderingWindow(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(peerOptions{mss: 1000, scale: 7, sack: true}, 4)
		c.advance(10 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{1001, 2001}}})
		c.wantIdle("one segment overtook it: that may be disorder")
		if d := c.advanceToTimer(); d > 10*Millisecond {
			c.Errorf("it was waited for %d ms", d/Millisecond)
		}
		c.want("a quarter of a round trip later it is lost (RFC 8985, section 6.2)", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
	})
}

func TestLoss_congestionAvoidance(t *testing.T) {
	for _, g := range []Congestion{Cubic, Reno} {
		converse(t, Config{}, func(c *talk) {
			o := plain
			o.listen.Options.Congestion = g
			c.accepted(o)
			c.conn.cc.ssthresh = 10_000
			at := 1
			for range 4 { // round trips of a full window each
				c.write(at, int(c.conn.cc.cwnd))
				at = c.conn.snd.nxt.Sub(c.iss)
				c.discard()
				c.advance(100 * Millisecond)
				c.send(seg{flags: ACK, seq: 1, ack: at})
			}
			if w := c.conn.cc.cwnd; w < 13_000 || w > 15_000 {
				c.Errorf("%v: from 10 segments to %d bytes in four round trips, want one segment each", g, w)
			}
		})
	}
}

// What the peer kept behind a hole is acknowledged late, and measures the repair of the hole, not a round trip.
func TestLoss_keptDataMeasuresNothing(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(plain, 3)
		before := c.conn.rtt.srtt
		c.advanceToTimer()
		c.want("the first was lost", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		c.advance(10 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 3001})
		if got := c.conn.rtt.srtt; got != before {
			c.Errorf("srtt %d -> %d us (RFC 6298, section 3)", before/Microsecond, got/Microsecond)
		}
	})
}

// firstOfForty is a recovery from the loss of the first of forty segments, with all that leaves until the others are SACKed.
func (c *talk) firstOfForty() {
	c.Helper()
	c.windowOfForty()
	c.discard()
	c.advance(10 * Millisecond)
	for at := Seq(4001); at <= 40_001; at += 1000 {
		c.sentFor(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{1001, at}}})
	}
}

// Of what was sent in a recovery something is lost as well, and the acknowledgement that ends the
// recovery shows it: "loss in two successive windows of data" lowers the window twice (RFC 5681, section 4.3).
func TestRecovery_lossOfTheNextWindow(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.firstOfForty()
		first, nxt := c.conn.cc.ssthresh, Seq(c.conn.snd.nxt.Sub(c.iss))
		c.advance(10 * Millisecond)
		c.sentFor(seg{flags: ACK, seq: 1, ack: 40_001, sacks: []span{{45_001, nxt}}})
		if i := c.table.Info(c.now, c.conn); c.conn.cc.ssthresh >= first || !i.InRecovery {
			c.Errorf("ssthresh %d, %d in the recovery before: %+v", c.conn.cc.ssthresh, first, i)
		}
	})
}

// What a router finds too big during a recovery is sent again after it, and that is no congestion.
func TestRecovery_tooBigMeanwhile(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.firstOfForty()
		first := c.conn.cc.ssthresh
		c.table.packetTooBig(c.now, c.conn, c.iss+40_001, 700) // with IPv6 nobody believes it
		c.discard()
		c.advance(10 * Millisecond)
		c.sentFor(seg{flags: ACK, seq: 1, ack: 40_001})
		if c.conn.cc.ssthresh != first {
			c.Errorf("ssthresh %d, %d in the recovery before", c.conn.cc.ssthresh, first)
		}
	})
}
