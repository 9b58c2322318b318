package tcp

import "testing"

func TestDeliveryRate(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(sacking)
		c.conn.cc.set(10_000)
		c.advance(100 * Millisecond)
		c.write(1, 30_000)
		for i := range 3 { // a window a round trip, segment by segment, 1 ms apart
			c.discard()
			c.advance(11 * Millisecond)
			for at := 1000; at <= 10_000; at += 1000 {
				c.send(seg{flags: ACK, seq: 1, ack: i*10_000 + at + 1})
				c.advance(Millisecond)
				c.conn.cc.set(10_000)
			}
			i := c.table.Info(c.now, c.conn)
			if i.DeliveryRate < 450_000 || i.DeliveryRate > 510_000 {
				c.Fatalf("%d bytes per second, want 10,000 in 20 to 21 ms", i.DeliveryRate)
			}
		}
	})
}

func TestDeliveryRate_sacked(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(sacking)
		c.advance(100 * Millisecond)
		c.write(1, 10_000)
		c.advance(20 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{1001, 10_001}}})
		if i := c.table.Info(c.now, c.conn); i.DeliveryRate != 450_000 {
			c.Errorf("%d bytes per second, want the 9,000 that were sacked after 20 ms", i.DeliveryRate)
		}
	})
}

func TestDeliveryRate_applicationLimited(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(sacking)
		c.conn.cc.set(5000)
		c.advance(100 * Millisecond)
		c.write(1, 20_000)
		at := 1
		for range 2 {
			at += 5000
			c.received(10 * Millisecond)
		}
		if i := c.table.Info(c.now, c.conn); i.RateAppLimited || i.DeliveryRate != 1_000_000 {
			c.Errorf("limited by the window: %d bytes per second, application %v", i.DeliveryRate, i.RateAppLimited)
		}
		for c.conn.snd.una != c.conn.snd.buf.end() {
			c.received(10 * Millisecond)
		}
		before := c.table.Info(c.now, c.conn).DeliveryRate
		c.write(c.conn.snd.nxt.Sub(c.iss), 2000)
		c.received(10 * Millisecond)
		if i := c.table.Info(c.now, c.conn); i.RateAppLimited || i.DeliveryRate != before {
			c.Errorf("a request of 2,000 bytes says nothing of the path: %d bytes per second", i.DeliveryRate)
		}
		c.conn.cc.set(20_000)
		c.write(c.conn.snd.nxt.Sub(c.iss), 12_000)
		c.received(10 * Millisecond)
		if i := c.table.Info(c.now, c.conn); !i.RateAppLimited || i.DeliveryRate != 1_200_000 {
			c.Errorf("one that is faster does: %d bytes per second, application %v", i.DeliveryRate, i.RateAppLimited)
		}
	})
}
