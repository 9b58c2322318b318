package tcp

import "testing"

func TestKeepAlive(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		o := plain
		o.listen.Options.KeepAlive = KeepAlive{Enabled: true, Idle: Minute, Interval: 10 * Second, Count: 3}
		c.accepted(o)
		c.write(1, 10)
		c.send(seg{flags: ACK, seq: 1, ack: 11})
		c.discard()
		if d := c.advanceToTimer(); d < Minute || d > Minute+Second {
			c.Errorf("the first probe after %d s", d/Second)
		}
		c.want("a probe lies before what is acknowledged (RFC 9293, section 3.8.4)", seg{flags: ACK, seq: 10, ack: 1})
		c.send(seg{flags: ACK, seq: 1, ack: 11})
		if d := c.advanceToTimer(); d < 59*Second {
			c.Errorf("it was answered, and the next comes after %d s", d/Second)
		}
		for range 3 {
			c.want("nobody answers", seg{flags: ACK, seq: 10, ack: 1})
			c.advance(10*Second + 10*Millisecond)
		}
		if c.conn.Err() != ErrTimeout {
			c.Errorf("after three probes: %v", c.conn.Err())
		}
		c.close()
	})
}

func TestKeepAlive_switchedOnLater(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.advance(Hour)
		c.wantIdle("off by default (MUST-25)")
		c.table.SetKeepAlive(c.now, c.conn, KeepAlive{Enabled: true, Idle: 20 * Second})
		c.settle()
		c.advanceToTimer()
		c.want("a probe", seg{flags: ACK, seq: 0, ack: 1})
		c.table.SetKeepAlive(c.now, c.conn, KeepAlive{})
		c.advance(Hour)
		c.wantIdle("switched off")
	})
}

func TestKeepAlive_ofThePeerIsAnswered(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.send(seg{flags: ACK, seq: 0, ack: 1})
		c.want("a probe without data", seg{flags: ACK, seq: 1, ack: 1})
		c.send(seg{flags: ACK, seq: 0, ack: 1, data: "x"})
		c.want("or with a byte", seg{flags: ACK, seq: 1, ack: 1})
	})
}

// Segments that prove nothing do not make a dead peer look alive.
func TestKeepAlive_forgedSegmentsAreNoSignOfLife(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		o := plain
		o.listen.Options.KeepAlive = KeepAlive{Enabled: true, Idle: Minute, Interval: 10 * Second, Count: 3}
		c.accepted(o)
		for range 30 {
			c.advance(5 * Second)
			c.send(seg{flags: ACK, seq: 500_000, ack: 1})
			c.send(seg{flags: RST, seq: 300})
		}
		if c.conn.Err() != ErrTimeout {
			c.Errorf("the peer is dead: %v", c.conn.Err())
		}
		c.close()
	})
}
