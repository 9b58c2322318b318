package tcp

import (
	"io"
	"testing"
)

func TestClose_weFirst(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.write(1, 10)
		c.want("data", seg{flags: ACK | PSH, seq: 1, ack: 1, len: 10})
		c.closeWrite()
		c.want("FIN", seg{flags: ACK | FIN, seq: 11, ack: 1})
		c.wantState("FIN sent", FinWait1)
		c.send(seg{flags: ACK, seq: 1, ack: 11})
		c.wantState("data acknowledged, FIN not", FinWait1)
		c.send(seg{flags: ACK, seq: 1, ack: 12})
		c.wantState("FIN acknowledged", FinWait2)
		c.send(seg{flags: ACK, seq: 1, ack: 12, len: 500})
		c.wantRead("the other half is open", 1, 500)
		c.want("the first data is acknowledged at once", seg{flags: ACK, seq: 12, ack: 501})
		c.send(seg{flags: ACK | FIN, seq: 501, ack: 12})
		c.want("the peer's FIN", seg{flags: ACK, seq: 12, ack: 502})
		c.wantState("both closed", TimeWait)
		c.wantEOF("the end of the stream")
		c.close()
		c.advance(timeWaitLength + Second)
		c.wantIdle("TIME-WAIT ends quietly")
		c.wantGone()
		if n := c.table.Len().TimeWait; n != 0 {
			c.Errorf("%d TIME-WAIT records", n)
		}
	})
}

func TestClose_peerFirst(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.send(seg{flags: ACK | FIN | PSH, seq: 1, ack: 1, len: 100})
		c.want("FIN is acknowledged at once", seg{flags: ACK, seq: 1, ack: 102})
		c.wantState("peer closed", CloseWait)
		c.wantRead("its data", 1, 100)
		c.wantEOF("its FIN")
		c.write(1, 2500)
		c.want("the other half is open", seg{flags: ACK | PSH, seq: 1, ack: 102, len: 2500})
		c.close()
		c.want("FIN", seg{flags: ACK | FIN, seq: 2501, ack: 102})
		c.wantState("both closed", LastAck)
		c.send(seg{flags: ACK, seq: 102, ack: 2502})
		c.wantGone()
		c.send(seg{flags: ACK, seq: 102, ack: 2502})
		c.want("the flow is free", seg{flags: RST, seq: 2502})
	})
}

func TestClose_simultaneous(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.close()
		c.want("FIN", seg{flags: ACK | FIN, seq: 1, ack: 1})
		c.send(seg{flags: ACK | FIN, seq: 1, ack: 1})
		c.want("the FINs crossed", seg{flags: ACK, seq: 2, ack: 2})
		c.wantState("CLOSING", Closing)
		c.send(seg{flags: ACK, seq: 2, ack: 2})
		if n := c.table.Len(); n.Connections != 0 || n.TimeWait != 1 {
			c.Errorf("%+v", n)
		}
	})
}

func TestClose_finWithTheAckOfOurs(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.closeWrite()
		c.discard()
		c.send(seg{flags: ACK | FIN, seq: 1, ack: 2})
		c.want("FIN-WAIT-1 to TIME-WAIT", seg{flags: ACK, seq: 2, ack: 2})
		c.wantState("at once", TimeWait)
		c.wantEOF("nothing came")
	})
}

func TestClose_lostFin(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.write(1, 5)
		c.close()
		c.want("data", seg{flags: ACK | PSH, seq: 1, ack: 1, len: 5})
		c.want("FIN", seg{flags: ACK | FIN, seq: 6, ack: 1})
		c.advanceToTimer()
		c.want("both are lost and go together", seg{flags: ACK | PSH | FIN, seq: 1, ack: 1, len: 5})
		c.send(seg{flags: ACK, seq: 1, ack: 7})
		c.wantState("acknowledged", FinWait2)
	})
}

func TestClose_finOutOfOrder(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.send(seg{flags: ACK | FIN, seq: 101, ack: 1, len: 50})
		c.want("a hole before the FIN", seg{flags: ACK, seq: 1, ack: 1})
		c.wantState("nothing happens yet", Established)
		c.send(seg{flags: ACK, seq: 151, ack: 1, len: 10})
		c.discard()
		c.send(seg{flags: ACK, seq: 1, ack: 1, len: 100})
		c.want("the hole is filled, and what came after the FIN does not count", seg{flags: ACK, seq: 1, ack: 152})
		c.wantState("now the FIN counts", CloseWait)
		c.wantRead("all bytes before it", 1, 150)
		c.wantEOF("and no more")
	})
}

func TestClose_callsAfterwards(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.closeWrite()
		if n, err := c.table.Write(c.now, c.conn, []byte("x")); n != 0 || err != ErrClosed {
			c.Errorf("write after CloseWrite: %d, %v", n, err)
		}
		c.closeWrite()
		c.want("one FIN", seg{flags: ACK | FIN, seq: 1, ack: 1})
		c.wantIdle("and not two")
		c.send(seg{flags: ACK | FIN, seq: 1, ack: 2})
		if n, err := c.table.Write(c.now, c.conn, []byte("x")); n != 0 || err != ErrClosed {
			c.Errorf("write in TIME-WAIT: %d, %v", n, err)
		}
		if n, err := c.table.Read(c.now, c.conn, nil); n != 0 || err != nil {
			c.Errorf("read of nothing: %d, %v", n, err)
		}
		if _, err := c.read(1); err != io.EOF {
			c.Error(err)
		}
	})
}

func TestAttack_T06_closeWithUnreadDataResets(t *testing.T) {
	for _, s := range []State{Established, CloseWait} {
		converse(t, Config{}, func(c *talk) {
			c.accepted(plain)
			c.send(seg{flags: ACK, seq: 1, ack: 1, len: 10})
			ack := 11
			if s == CloseWait {
				c.send(seg{flags: ACK | FIN, seq: 11, ack: 1})
				ack = 12
			}
			c.discard()
			c.close()
			c.want("the peer learns that its bytes are lost (RFC 2525, section 2.17)", seg{flags: RST | ACK, seq: 1, ack: ack})
			c.wantGone()
		})
	}
}

func TestClose_dataAfterCloseResets(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.close()
		c.send(seg{flags: ACK, seq: 1, ack: 2})
		c.discard()
		c.wantDrop("nobody will read this", c.send(seg{flags: ACK, seq: 1, ack: 2, len: 10}), DropDataUnread)
		c.want("and the peer is told", seg{flags: RST, seq: 2})
		c.wantGone()
	})
}

func TestClose_abort(t *testing.T) {
	for _, s := range []State{SynSent, SynReceived, Established, FinWait1, FinWait2, CloseWait, Closing, LastAck, TimeWait} {
		converse(t, Config{}, func(c *talk) {
			seq, ack := c.reach(s)
			c.abort()
			if s == SynSent || s == TimeWait {
				c.wantIdle("nobody to tell")
			} else {
				c.want("RST", seg{flags: RST | ACK, seq: ack, ack: seq})
			}
			c.wantIdle("nothing else")
			c.wantGone()
		})
	}
}

func TestAttack_T01_timeWait(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.reach(TimeWait)
		c.close()
		c.wantDrop("a RST does not end TIME-WAIT (RFC 1337)", c.send(seg{flags: RST, seq: 2}), DropTimeWait)
		c.wantIdle("and is not answered")
		c.advance(50 * Second)
		c.send(seg{flags: ACK | FIN, seq: 1, ack: 2})
		c.want("the FIN again: our ACK was lost", seg{flags: ACK, seq: 2, ack: 2})
		c.advance(50 * Second)
		c.send(seg{flags: ACK, seq: 2, ack: 2})
		c.wantIdle("TIME-WAIT began anew, and an exact ACK is not answered")
		c.send(seg{flags: ACK, seq: 1, ack: 2, len: 1})
		c.want("old data is", seg{flags: ACK, seq: 2, ack: 2})
		c.advance(11 * Second)
		c.send(seg{flags: ACK, seq: 2, ack: 2})
		c.want("then the record is gone", seg{flags: RST, seq: 2})
	})
}

func TestAttack_T01_reuseBySequence(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.reach(TimeWait)
		c.send(seg{flags: SYN, seq: 2, opts: plain.syn(0)})
		c.want("an old SYN is answered with ACK", seg{flags: ACK, seq: 2, ack: 2})
		c.send(seg{flags: SYN, seq: 3, opts: plain.syn(0)})
		s := c.want("a new one opens a new connection", seg{flags: SYN | ACK, seq: c.inbox[0].seq, ack: 4})
		if s.seq < 3 {
			c.Errorf("its ISN, %d, does not lie beyond the old connection's numbers", s.seq)
		}
		c.send(seg{flags: ACK, seq: 4, ack: s.seq + 1})
		if c.table.Accept(c.listener) == nil {
			c.Error("not accepted")
		}
		if n := c.table.Len(); n.TimeWait != 0 || n.Connections != 2 {
			c.Errorf("%+v", n)
		}
	})
}

func TestAttack_T01_reuseByTimestamp(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(modern)
		c.closeInto(TimeWait)
		c.discard()
		now := c.peerClock()
		c.send(seg{flags: SYN, seq: 9000, opts: modern.syn(now - 1)})
		c.want("an old timestamp, whatever the sequence number", seg{flags: ACK, seq: 2, ack: 2})
		c.send(seg{flags: SYN, seq: -9000, opts: modern.syn(now)})
		c.want("the same timestamp and an old number", seg{flags: ACK, seq: 2, ack: 2})
		c.send(seg{flags: SYN, seq: -9000, opts: modern.syn(now + 1)})
		c.want("a new timestamp is enough (RFC 6191)", seg{flags: SYN | ACK, seq: c.inbox[0].seq, ack: -8999})
	})
}

func TestTimeWait_staysWhenTheNewConnectionIsRefused(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.reach(TimeWait)
		c.table.SetLimits(1, 0, 0) // what is in TIME-WAIT counts until the application closes it
		c.wantDrop("too many connections", c.send(seg{flags: SYN, seq: 3}), DropConnections)
		if n := c.table.Len().TimeWait; n != 1 {
			c.Error("the old connection's record is lost")
		}
		c.table.Unlisten(c.now, c.listener)
		c.wantDrop("nobody listens", c.send(seg{flags: SYN, seq: 3}), DropClosedPort)
		c.want("refused", seg{flags: RST | ACK, seq: -int(c.iss), ack: 4})
	})
}

// livesAndWaits leads a connection from its SYN to TIME-WAIT.
func (c *talk) livesAndWaits(o peerOptions) {
	c.knowISS = false
	c.handshake(o)
	c.conn = c.table.Accept(c.listener)
	c.closeInto(TimeWait)
	c.close()
	c.discard()
	c.advance(Millisecond)
}

func TestAttack_T02_timeWaitIsBounded(t *testing.T) {
	converse(t, Config{TimeWait: 10}, func(c *talk) {
		c.listen(ListenOptions{})
		for range 30 {
			c.livesAndWaits(plain)
			c.flow.RemotePort++
		}
		if n := c.table.Len().TimeWait; n != 10 {
			c.Errorf("%d records", n)
		}
		if n := c.table.Counters().TimeWaitEvicted; n != 20 {
			c.Errorf("%d evicted", n)
		}
		c.flow.RemotePort -= 30
		c.send(seg{flags: ACK | FIN, seq: 1, ack: 2})
		c.want("the oldest went first", seg{flags: RST, seq: 2})
		c.advance(2 * Minute)
		if n := c.table.Len().TimeWait; n != 0 || c.memory.used != 0 {
			c.Errorf("%d records left, %d bytes", n, c.memory.used)
		}
	})
}

// TestTimeWait_recordsThatEndedEarlyCount: a flow that is opened anew again and again leaves a record each time, which stays in
// the list until its turn comes. It is charged and bounded like the others.
func TestTimeWait_recordsThatEndedEarlyCount(t *testing.T) {
	converse(t, Config{TimeWait: 10}, func(c *talk) {
		c.listen(ListenOptions{})
		for range 30 {
			c.livesAndWaits(modern)
		}
		w := &c.table.waits.records
		if kept := int(w.next) - len(w.free); kept > 10 || c.memory.used != kept*timeWaitSize {
			c.Errorf("%d records are kept and %d bytes charged, want 10 records at most and %d bytes", kept, c.memory.used, kept*timeWaitSize)
		}
		c.check()
		c.advance(2 * Minute)
		if c.memory.used != 0 || int(w.next) != len(w.free) {
			c.Errorf("%d bytes left", c.memory.used)
		}
	})
}

func TestTimeWait_withoutMemoryTheFinIsStillAcknowledged(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.closeInto(FinWait2)
		c.discard()
		c.memory.refuseFrom = 1
		c.send(seg{flags: ACK | FIN, seq: 1, ack: 2})
		c.want("FIN is acknowledged", seg{flags: ACK, seq: 2, ack: 2})
		if n := c.table.Counters().TimeWaitRefused; n != 1 {
			c.Error("not counted")
		}
		c.close()
		c.wantGone()
	})
}

func TestAttack_T03_finWait2(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.reach(FinWait2)
		c.advance(Hour)
		c.wantState("half-close may last while somebody reads", FinWait2)
		c.close()
		c.advance(finWait2Timeout - Second)
		c.wantState("nobody reads", FinWait2)
		c.advance(2 * Second)
		c.wantGone()
	})
}

func TestAttack_T03_orphansThatNobodyAcknowledges(t *testing.T) {
	for _, s := range []State{FinWait1, Closing, LastAck} {
		converse(t, Config{}, func(c *talk) {
			c.reach(s)
			c.close()
			c.advance(5 * Minute)
			c.wantGone()
		})
	}
}

func TestClose_anActiveOpenIsReportedOnce(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.connected(modern)
		c.closeInto(TimeWait)
		for _, e := range c.events {
			if e.Kind == EventConnected {
				c.Error("the end of the connection looks like a second beginning")
			}
		}
		c.close()
		c.discard()
	})
}

// When the table ends, connections that were closed and are not over get a RST: silence would look like a slow network.
func TestClose_releasedConnectionsCanBeAborted(t *testing.T) {
	for _, st := range []State{FinWait1, FinWait2, Closing, LastAck} {
		converse(t, Config{}, func(c *talk) {
			seq, ack := c.reach(st)
			if _, ok := c.table.AbortReleased(c.now, 0); ok {
				c.Error("the application has not given it up")
			}
			c.close()
			next, ok := c.table.AbortReleased(c.now, 0)
			c.settle()
			c.want("RST", seg{flags: RST | ACK, seq: ack, ack: seq})
			if _, more := c.table.AbortReleased(c.now, next); !ok || more {
				c.Error("there is one")
			}
			c.wantGone()
		})
	}
}
