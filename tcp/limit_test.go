package tcp

import "testing"

func TestLimit_times(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(sacking)
		c.advance(50 * Millisecond)
		c.write(1, 2000)
		c.advance(10 * Millisecond) // the application has written no more
		c.send(seg{flags: ACK, seq: 1, ack: 2001})
		c.advance(Second) // idle
		c.write(2001, 30_000)
		if i := c.table.Info(c.now, c.conn); i.Limit != LimitCwnd {
			c.Errorf("limited by the %v", i.Limit)
		}
		c.advance(15 * Millisecond) // the congestion window
		c.discard()
		c.send(seg{flags: ACK, seq: 1, ack: c.conn.snd.nxt.Sub(c.iss), win: 10})
		if i := c.table.Info(c.now, c.conn); i.Limit != LimitWindow {
			c.Errorf("limited by the %v", i.Limit)
		}
		c.advance(20 * Millisecond) // the peer's window
		c.discard()
		c.send(seg{flags: ACK, seq: 1, ack: c.conn.snd.nxt.Sub(c.iss)})
		c.discard()
		c.send(seg{flags: ACK, seq: 1, ack: c.conn.snd.nxt.Sub(c.iss)})
		i := c.table.Info(c.now, c.conn)
		if i.AppLimited != 10*Millisecond || i.CwndLimited != 15*Millisecond || i.WindowLimited != 20*Millisecond ||
			i.Busy != 45*Millisecond || i.BufferLimited != 0 || i.Limit != LimitIdle {
			c.Errorf("app %d us, cwnd %d us, window %d us, busy %d us, %v", i.AppLimited/Microsecond,
				i.CwndLimited/Microsecond, i.WindowLimited/Microsecond, i.Busy/Microsecond, i.Limit)
		}
	})
}

func TestLimit_sendBuffer(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.quiet = true
		o := sacking
		o.listen.Options.SendBuffer = 20_000
		c.accepted(o)
		c.conn.cc.set(1_000_000)
		n, err := c.table.Write(c.now, c.conn, make([]byte, 50_000))
		if n >= 50_000 || err != nil {
			c.Fatalf("wrote %d, %v", n, err)
		}
		c.settle()
		c.advance(5 * Millisecond)
		if i := c.table.Info(c.now, c.conn); i.Limit != LimitBuffer || i.BufferLimited != 5*Millisecond {
			c.Errorf("limited by the %v, for %d us", i.Limit, i.BufferLimited/Microsecond)
		}
	})
}

func TestLimit_memory(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(sacking)
		c.memory.pressure = true
		n, err := c.table.Write(c.now, c.conn, make([]byte, 50_000))
		if n >= 50_000 || err != nil {
			c.Fatalf("wrote %d, %v", n, err)
		}
		c.settle()
		c.advance(5 * Millisecond)
		if i := c.table.Info(c.now, c.conn); i.Limit != LimitMemory || i.MemoryLimited != 5*Millisecond || i.Busy != 5*Millisecond {
			c.Errorf("limited by the %v, for %d us of %d", i.Limit, i.MemoryLimited/Microsecond, i.Busy/Microsecond)
		}
		c.discard()
	})
}
