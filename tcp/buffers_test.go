package tcp

import "testing"

func TestSend_bufferGrowsWithTheWindow(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.quiet = true
		o := modern
		o.listen.Options.SendBuffer = 1 << 20
		c.accepted(o)
		at, acked := 1, 1
		for range 40 {
			for {
				n, err := c.table.Write(c.now, c.conn, pattern(at-1, 64<<10))
				if err != nil {
					c.Fatal(err)
				}
				if at += n; n == 0 {
					break
				}
			}
			c.settle()
			c.discard()
			c.advance(10 * Millisecond)
			acked = c.conn.snd.nxt.Sub(c.iss)
			c.send(seg{flags: ACK, seq: 1, ack: acked, win: 65535})
			c.discard()
		}
		i := c.table.Info(c.now, c.conn)
		if i.SendBuffer != 1<<20 || i.Cwnd < 500_000 {
			c.Errorf("send buffer %d, cwnd %d", i.SendBuffer, i.Cwnd)
		}
	})
}

func TestReceive_bufferGrowsWithTheReader(t *testing.T) {
	for _, pressure := range []bool{false, true} {
		converse(t, Config{}, func(c *talk) {
			c.quiet = true
			c.memory.pressure = pressure
			c.accepted(modern)
			nxt := 1
			for range 20 {
				nxt = c.fillWindow(nxt)
				c.settle()
				c.discard()
				for {
					if b, _ := c.read(1 << 16); len(b) == 0 {
						break
					}
				}
				c.discard()
				c.advance(10 * Millisecond)
			}
			i := c.table.Info(c.now, c.conn)
			if grown := i.ReceiveBuf > 4<<20; grown == pressure {
				c.Errorf("pressure %v, buffer %d", pressure, i.ReceiveBuf)
			}
		})
	}
}

// On a path of microseconds a whole buffer can come and go many times before the next measure: it is what bounds the sender, and
// grows at once. A queue that stands or a budget that is nearly used up forbids it as ever.
func TestReceive_bufferGrowsWhenAllOfItWasRead(t *testing.T) {
	for _, held := range []string{"", "by pressure", "by a standing queue"} {
		converse(t, Config{}, func(c *talk) {
			c.quiet = true
			c.accepted(modern)
			c.send(seg{flags: ACK, seq: 1, ack: 1, len: 1000})
			c.wantRead("the first bytes begin a measure", 1, 1000)
			c.memory.pressure = held == "by pressure"
			c.table.SetStanding(held == "by a standing queue")
			nxt := 1001
			for range 8 {
				nxt = c.fillWindow(nxt)
				for b, _ := c.read(1 << 16); len(b) > 0; b, _ = c.read(1 << 16) {
				}
				c.discard()
				c.advance(50 * Microsecond)
			}
			if i := c.table.Info(c.now, c.conn); (i.ReceiveBuf > 1<<20) != (held == "") {
				c.Errorf("after 400 us, held back %s: a buffer of %d", held, i.ReceiveBuf)
			}
		})
	}
}

// A standing queue in front of us takes the surplus out of windows, and no right edge moves left for it.
func TestReceive_bufferShrinksBeforeAStandingQueue(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.quiet = true
		c.accepted(modern)
		nxt := 1
		rounds := func(n int) {
			for range n {
				nxt = c.fillWindow(nxt)
				for b, _ := c.read(1 << 16); len(b) > 0; b, _ = c.read(1 << 16) {
				}
				before := c.conn.rcv.adv
				c.discard()
				c.advance(10 * Millisecond)
				c.discard()
				if c.conn.rcv.adv.Less(before) {
					c.Fatalf("the right edge went from %d to %d", before, c.conn.rcv.adv)
				}
			}
		}
		rounds(20)
		grown := c.table.Info(c.now, c.conn).ReceiveBuf
		c.table.SetStanding(true)
		rounds(40)
		if i := c.table.Info(c.now, c.conn); i.ReceiveBuf < grown/2 {
			c.Errorf("a path of 10 ms needs its buffer; it shrank from %d to %d", grown, i.ReceiveBuf)
		}
		c.conn.rtt.min = 50 * Microsecond // the path is short, and the rest of the 10 ms is the queue
		rounds(40)
		if i := c.table.Info(c.now, c.conn); i.ReceiveBuf > 2*standingFloor || grown <= 2*standingFloor {
			c.Errorf("a buffer of %d shrank to %d, want about %d", grown, i.ReceiveBuf, standingFloor)
		}
		c.table.SetStanding(false)
		rounds(20)
		if i := c.table.Info(c.now, c.conn); i.ReceiveBuf < grown/2 {
			c.Errorf("after the queue has gone the buffer is %d", i.ReceiveBuf)
		}
	})
}

// Who only receives knows the round trip of the handshake, and that may be of a proxy nearer by: timestamps tell the other.
// Without, a buffer that is measured every 20 ms of a path of 100 ms grew to a fifth of what the path holds.
func TestReceive_bufferFollowsALongerPath(t *testing.T) {
	b := newBottleneck(t, Options{Congestion: BBR, SendBuffer: 64 << 20, ReceiveBuffer: 32 << 20})
	b.delay, b.queue = 100*Millisecond, 2_500_000
	b.run(3 * Second)
	if n := b.run(Second); n < 11_000_000 {
		t.Errorf("%d bytes in the fourth second of 12,500,000, the receive buffer is %d", n, b.receiver.rcv.limit)
	}
}
