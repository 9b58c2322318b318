package tcp

import "testing"

// expectOverdue lets time pass until the next timer, whose kind the test knows, without running it.
func (c *talk) expectOverdue(why string, k timer, want bool) {
	c.Helper()
	if c.conn.deadlines[k] == 0 {
		c.Fatalf("%s: the timer is not set", why)
	}
	c.now = c.conn.deadlines[k].Add(Millisecond)
	if got := c.table.Overdue(c.now); got != want {
		c.Errorf("%s: overdue %v, want %v", why, got, want)
	}
	c.check()
}

// TestOverdue: a runtime that runs late hears that an answer is missing before the table acts on it, and an answer that comes in
// between counts.
func TestOverdue(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(sacking, 5)
		if c.table.Overdue(c.now) {
			c.Error("nothing is due yet")
		}
		c.expectOverdue("the probe", timerProbe, true)
		c.send(seg{flags: ACK, seq: 1, ack: 5001})
		c.tick(c.now)
		c.wantIdle("the answer came in time: no probe")

		c.write(5001, 1000)
		c.discard()
		c.expectOverdue("the probe", timerProbe, true)
		c.tick(c.now)
		c.want("no answer: the probe", seg{flags: ACK | PSH, seq: 5001, ack: 1, len: 1000})
		c.expectOverdue("the retransmission", timerRetransmit, true)
		c.send(seg{flags: ACK, seq: 1, ack: 6001, win: closed})
		c.tick(c.now)
		c.wantIdle("the answer came in time: no retransmission")

		c.write(6001, 1000)
		c.expectOverdue("the probe of a closed window", timerPersist, true)
		c.send(seg{flags: ACK, seq: 1, ack: 6001})
		c.want("the window is open", seg{flags: ACK | PSH, seq: 6001, ack: 1, len: 1000})
		c.tick(c.now)
		c.wantIdle("no probe follows")
		if i := c.table.Info(c.now, c.conn); i.Timeouts != 0 || i.LossProbes != 1 {
			c.Errorf("%+v", i)
		}
	})
}

// TestOverdue_othersAreNot: timers that do not wait for an answer are none of it.
func TestOverdue_othersAreNot(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.interactive()
		c.send(seg{flags: ACK, seq: 11, ack: 11, len: 1000})
		c.wantIdle("one segment waits a little")
		c.expectOverdue("a delayed acknowledgement", timerDelayedAck, false)
		c.tick(c.now)
		c.want("it is sent", seg{flags: ACK, seq: 11, ack: 1011})
	})
}

// TestOverdue_connectionGone: what was taken out of the wheel and has ended, or became another connection, meanwhile, does no harm.
func TestOverdue_connectionGone(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.inFlight(sacking, 5)
		c.expectOverdue("the probe", timerProbe, true)
		slot := c.conn.Slot()
		c.abort()
		c.want("RST", seg{flags: ACK | RST, seq: 5001, ack: 1})
		f := c.flow
		f.LocalPort = 0
		next, err := c.table.Connect(c.now, f, Options{})
		if err != nil || next.Slot() != slot {
			c.Fatalf("slot %d, %v: the test wants the slot %d", next.Slot(), err, slot)
		}
		c.check()
		c.table.Advance(c.now)
		c.check()
	})
}
