package tcp

import "testing"

// sentInRecovery counts what leaves in answer to one acknowledgement.
func (c *talk) sentFor(s seg) int {
	c.Helper()
	c.discard()
	c.send(s)
	n := 0
	for _, g := range c.inbox {
		n += g.len
	}
	c.discard()
	return n
}

// windowOfForty has forty segments under way, of more.
func (c *talk) windowOfForty() {
	o := sacking
	o.listen.Options.Congestion = Reno
	c.accepted(o)
	c.conn.cc.set(40_000)
	c.write(1, 100_000)
}

// One loss in a window of forty: the sender goes on in proportion, and ends at ssthresh.
func TestPRR_proportional(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.windowOfForty()
		c.want("a window", seg{flags: ACK, seq: 1, ack: 1, len: 40_000})
		c.advance(10 * Millisecond)
		total := c.sentFor(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{1001, 4001}}})
		if total != 1000 { // ceil(3000*20000/40000) in full segments
			c.Errorf("%d bytes leave when the recovery begins, want the fast retransmit", total)
		}
		if i := c.table.Info(c.now, c.conn); i.Ssthresh != 20_000 || !i.InRecovery {
			c.Fatalf("%+v", i)
		}
		for at := Seq(5001); at <= 40_001; at += 1000 {
			n := c.sentFor(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{1001, at}}})
			total += n
			if n > 1000 {
				c.Errorf("a burst of %d bytes for one segment delivered", n)
			}
			if most := (int(at-1001) + 1) / 2; total > most+1000 {
				c.Errorf("%d bytes sent for %d delivered, want half of it: RFC 9937, Per-ACK Steps", total, at-1001)
			}
		}
		if total < 19_000 || total > 21_000 {
			c.Errorf("%d bytes sent during the recovery, want ssthresh", total)
		}
		c.advance(10 * Millisecond)
		c.discard()
		c.send(seg{flags: ACK, seq: 1, ack: 40_001})
		if i := c.table.Info(c.now, c.conn); i.InRecovery || i.Cwnd != 20_000 {
			c.Errorf("cwnd = ssthresh in the end: %+v", i)
		}
	})
}

// More is lost than the window shrinks: as long as losses go on, as much leaves as arrives (CRB); when SND.UNA advances and
// nothing more is lost, a segment more (SSRB).
func TestPRR_reductionBounds(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		o := sacking
		o.listen.Options.Congestion = Reno
		c.inFlight(o, 10)
		c.advance(10 * Millisecond)
		if n := c.sentFor(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{8001, 9001}}}); n != 1000 {
			c.Errorf("%d bytes, want the fast retransmit", n)
		}
		if n := c.sentFor(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{7001, 10_001}}}); n != 2000 {
			c.Errorf("two segments arrived, %d bytes leave: PRR-CRB", n)
		}
		c.advance(10 * Millisecond)
		if n := c.sentFor(seg{flags: ACK, seq: 1, ack: 1001, sacks: []span{{7001, 10_001}}}); n != 2000 {
			c.Errorf("recovery goes well, %d bytes leave for one segment: PRR-SSRB", n)
		}
		if n := c.sentFor(seg{flags: ACK, seq: 1, ack: 2001, sacks: []span{{7001, 10_001}}}); n != 2000 {
			c.Errorf("recovery goes well, %d bytes leave for one segment: PRR-SSRB", n)
		}
	})
}

func TestPRR_withoutSACK(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		o := plain
		o.listen.Options.Congestion = Reno
		c.accepted(o)
		c.conn.cc.set(20_000)
		c.write(1, 60_000)
		c.discard()
		c.advance(10 * Millisecond)
		total := 0
		for i := range 19 {
			n := c.sentFor(seg{flags: ACK, seq: 1, ack: 1})
			if i < 2 && n != 1000 {
				c.Errorf("duplicate %d: %d bytes, want a new segment (RFC 3042, section 2)", i+1, n)
			}
			if i == 2 && n != 1000 {
				c.Errorf("the third: %d bytes, want the fast retransmit", n)
			}
			if total += n; n > 1000 {
				c.Errorf("a burst of %d bytes", n)
			}
		}
		if total < 9_000 || total > 13_000 {
			c.Errorf("%d bytes for 19 duplicates, want half the window and the two of limited transmit", total)
		}
		for range 100 { // a peer that goes on without end
			total += c.sentFor(seg{flags: ACK, seq: 1, ack: 1})
		}
		if total > 20_000 {
			c.Errorf("%d bytes drawn out by duplicate acknowledgements", total)
		}
	})
}

func TestLimitedTransmit_needsWindowAndData(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.write(1, 12_500)
		c.want("the initial window", seg{flags: ACK, seq: 1, ack: 1, len: 10_000})
		c.advance(10 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 1})
		c.want("a duplicate lets a new segment leave (RFC 3042, section 2)", seg{flags: ACK, seq: 10_001, ack: 1, len: 1000})
		c.send(seg{flags: ACK, seq: 1, ack: 1})
		c.want("and another", seg{flags: ACK, seq: 11_001, ack: 1, len: 1000})
		before := c.conn.cc.cwnd
		c.send(seg{flags: ACK, seq: 1, ack: 2001})
		if c.conn.cc.cwnd < before || c.table.Counters().Retransmits != 0 {
			c.Error("it was disorder only")
		}
	})
}

// Many small segments, two of them lost: bytes are counted, and the second goes out as soon as as many have arrived.
func TestPRR_smallSegments(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(sacking)
		c.table.SetNoDelay(c.now, c.conn, true)
		for i := range 20 {
			c.write(1+i*100, 100)
			c.advance(Millisecond)
		}
		c.discard()
		c.advance(10 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{101, 701}}})
		c.want("the first is lost", seg{flags: ACK, seq: 1, ack: 1, len: 100})
		c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{801, 1101}, {101, 701}}})
		c.want("so is the eighth", seg{flags: ACK, seq: 701, ack: 1, len: 100})
		c.advance(10 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 2001})
		if i := c.table.Info(c.now, c.conn); i.Timeouts != 0 || i.InRecovery || i.Retransmits != 2 {
			c.Errorf("%+v", i)
		}
	})
}

// What was sacked before the recovery began cannot be delivered during it.
func TestPRR_recoverFS(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(sacking)
		c.conn.cc.set(40_000)
		c.write(1, 40_000)
		c.discard()
		c.advance(10 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{1001, 3001}}})
		c.wantIdle("perhaps disorder")
		c.advanceToTimer()
		c.want("the reordering window is over", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		if n := c.conn.prr.flight; n != 38_000 {
			c.Errorf("RecoverFS is %d, want 38,000", n)
		}
	})
}

// Duplicates of what was sent again before a recovery ended are no new loss.
func TestNewReno_noSecondFastRetransmit(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(plain, 10)
		for range 3 {
			c.send(seg{flags: ACK, seq: 1, ack: 1})
		}
		c.want("a fast retransmit", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		c.send(seg{flags: ACK, seq: 1, ack: 10_001})
		c.write(10_001, 3000)
		c.discard()
		for range 4 {
			c.send(seg{flags: ACK, seq: 1, ack: 10_001})
		}
		c.wantIdle("the acknowledgement covers no more than recover (RFC 6582, section 3.2, step 1)")
	})
}

// What was sacked has been delivered, and is not delivered again when SND.UNA passes it: DeliveredData (RFC 9937, section 6.1)
// counts the change of both together.
func TestPRR_countsOnce(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.windowOfForty()
		c.advance(10 * Millisecond)
		c.discard()
		c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{1001, 4001}}})
		for at := Seq(5001); at <= 20_001; at += 1000 {
			c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{1001, at}}})
		}
		c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{21_001, 40_001}, {1001, 20_001}}}) // a second hole
		c.advance(10 * Millisecond)
		c.discard()
		c.send(seg{flags: ACK, seq: 1, ack: 20_001, sacks: []span{{21_001, 40_001}}})
		if p := c.conn.prr; p.delivered != 39_000 { // all but the second hole
			c.Errorf("%d bytes delivered of a flight of %d: %+v", p.delivered, p.flight, p)
		}
	})
}
