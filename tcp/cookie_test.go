package tcp

import "testing"

// flooded fills the table with half-open connections, and leaves a fresh flow.
func (c *talk) flooded() {
	c.Helper()
	c.listen(ListenOptions{})
	c.send(seg{flags: SYN})
	c.discard()
	c.flow.RemotePort++
	c.knowISS = false
}

var oneHalf = Config{HalfOpen: 1}

func TestAttack_H01_cookieServesThroughAFlood(t *testing.T) {
	for _, o := range []peerOptions{plain, modern, {mss: 1460, scale: 14, ts: true}, {mss: 100, scale: 3, sack: true}, {scale: -1}} {
		converse(t, oneHalf, func(c *talk) {
			c.flooded()
			used := c.memory.used
			c.handshakeByCookie(o)
			c.conn = c.table.Accept(c.listener)
			if c.conn == nil {
				c.Fatal("the cookie opened nothing")
			}
			i := c.table.Info(c.now, c.conn)
			if i.Timestamps != o.ts || i.SACK != (o.sack && o.ts) {
				c.Errorf("timestamps %v, SACK %v for %+v", i.Timestamps, i.SACK, o)
			}
			if want := max(o.scale, 0); o.ts && i.SndScale != want || !o.ts && i.SndScale != 0 {
				c.Errorf("scale %d for %+v", i.SndScale, o)
			}
			peer := o.mss
			if o.ts {
				peer -= timestampsLen
			}
			if i.MSS > max(peer, 536) || o.mss >= 1000 && i.MSS < peer*9/10 {
				c.Errorf("segments of %d to a peer that takes %d", i.MSS, peer)
			}
			if c.memory.used != used+connSize {
				c.Errorf("%d bytes are charged beside the connection", c.memory.used-used-connSize)
			}
			c.send(seg{flags: ACK, seq: 1, ack: 1, len: 100})
			c.wantRead("the connection works", 1, 100)
		})
	}
}

// handshakeByCookie is handshake where the answer to the SYN leaves no record.
func (c *talk) handshakeByCookie(o peerOptions) {
	c.Helper()
	c.send(seg{flags: SYN, opts: o.syn(c.peerClock())})
	s := c.want("a SYN without room for it is answered", seg{flags: SYN | ACK, ack: 1})
	if s.parsed.hasScale != (o.ts && o.scale >= 0) || s.parsed.sackPermitted != (o.ts && o.sack) || s.parsed.hasTimestamps != o.ts {
		c.Errorf("the answer offers %+v to %+v", *s.parsed, o)
	}
	if n := c.table.Len(); n.HalfOpen != 1 {
		c.Errorf("%d half-open records", n.HalfOpen)
	}
	c.advance(10 * Millisecond)
	c.ts = o.ts
	c.wantDrop("its acknowledgement opens the connection", c.send(seg{flags: ACK, seq: 1, ack: 1}), DropNone)
}

func TestCookie_withTheFirstData(t *testing.T) {
	converse(t, oneHalf, func(c *talk) {
		c.flooded()
		c.send(seg{flags: SYN, opts: plain.syn(0)})
		c.want("a cookie", seg{flags: SYN | ACK, ack: 1})
		c.send(seg{flags: ACK | PSH, seq: 1, ack: 1, len: 300}) // the bare ACK was lost
		c.conn = c.table.Accept(c.listener)
		if c.conn == nil {
			c.Fatal("data that acknowledges a cookie opens nothing")
		}
		c.wantRead("and is taken", 1, 300)
	})
}

func TestAttack_H02_cookiesAreWorthNothingElse(t *testing.T) {
	converse(t, oneHalf, func(c *talk) {
		c.flooded()
		c.send(seg{flags: SYN})
		c.want("a cookie", seg{flags: SYN | ACK, ack: 1})
		refused := func(why string, s seg) {
			c.Helper()
			c.wantDrop(why, c.send(s), DropCookie)
			c.wantIdle("it may have overtaken the one that counts")
		}
		refused("another number of the peer", seg{flags: ACK, seq: 2, ack: 1})
		for bit := range 27 {
			refused("another number of ours", seg{flags: ACK, seq: 1, ack: 1 + 1<<bit})
		}
		for bit := 27; bit < 31; bit++ {
			c.wantDrop("a time that has not been", c.send(seg{flags: ACK, seq: 1, ack: 1 + 1<<bit}), DropClosedPort)
			c.want("overtook nothing", seg{flags: RST, seq: 1 + 1<<bit})
		}
		c.flow.RemotePort++
		refused("another flow", seg{flags: ACK, seq: 1, ack: 1})
		c.flow.RemotePort--
		refused("a RST would end what the peer takes for established", seg{flags: SYN | ACK, seq: 1, ack: 1})
		c.advance(cookieAfter + Second)
		c.discard()
		c.wantDrop("too late", c.send(seg{flags: ACK, seq: 1, ack: 1}), DropClosedPort)
		c.want("a stray like any other", seg{flags: RST, seq: 1})
		if n := c.table.Len().Connections; n != 0 {
			c.Errorf("%d connections", n)
		}
	})
}

// A connection that was reset while its data was lost: the peer asks whether that was so, once, and must be told while cookies count.
func TestCookie_challengesAreAnswered(t *testing.T) {
	converse(t, oneHalf, func(c *talk) {
		c.advance(10 * cookieStep)
		c.accepted(plain)
		c.write(0, 1000)
		c.discard()
		c.table.Abort(c.now, c.conn)
		c.settle()
		c.want("the reset, behind data that was lost", seg{flags: RST | ACK, seq: 1001, ack: 1})
		challenged := c.flow
		c.flow.RemotePort++
		c.send(seg{flags: SYN})
		c.flow.RemotePort++
		c.send(seg{flags: SYN})
		if c.table.Counters().CookiesSent == 0 {
			c.Fatal("no cookie was sent")
		}
		c.discard()
		c.flow = challenged
		c.wantDrop("the challenge", c.send(seg{flags: ACK, seq: 1, ack: 1}), DropClosedPort)
		c.want("nobody is there any more", seg{flags: RST, seq: 1})
	})
}

func TestAttack_H02_cookieWithAFullBacklog(t *testing.T) {
	converse(t, oneHalf, func(c *talk) {
		c.flooded()
		c.send(seg{flags: SYN})
		c.want("a cookie", seg{flags: SYN | ACK, ack: 1})
		c.table.listeners[c.listener].opts.Backlog = 0
		c.wantDrop("there is no room for the connection", c.send(seg{flags: ACK, seq: 1, ack: 1, len: 10}), DropBacklog)
		c.wantIdle("its data is not acknowledged, and will come again")
		c.table.listeners[c.listener].opts.Backlog = 1
		c.wantDrop("now there is", c.send(seg{flags: ACK, seq: 1, ack: 1, len: 10}), DropNone)
	})
}

func TestCookie_heldListenersSendNone(t *testing.T) {
	converse(t, oneHalf, func(c *talk) {
		c.listen(ListenOptions{Hold: true})
		c.send(seg{flags: SYN})
		c.flow.RemotePort++
		c.wantDrop("the application has to know of it first", c.send(seg{flags: SYN}), DropHalfOpen)
		c.wantIdle("no cookie")
	})
}

func TestCookie_optionsThatChangeMeanwhile(t *testing.T) {
	converse(t, oneHalf, func(c *talk) {
		c.flooded()
		c.send(seg{flags: SYN, opts: modern.syn(c.peerClock())})
		s := c.want("a cookie", seg{flags: SYN | ACK, ack: 1})
		c.ts = true
		c.table.SetListenOptions(c.listener, Options{ReceiveBuffer: 20000})
		c.send(seg{flags: ACK, seq: 1, ack: 1})
		c.conn = c.table.Accept(c.listener)
		if c.conn == nil {
			c.Fatal("the cookie opened nothing")
		}
		if i := c.table.Info(c.now, c.conn); i.RcvScale != int(s.parsed.scale) || i.RcvWnd < s.rawWin {
			c.Errorf("scale %d, window %d; the peer was told %d and %d", i.RcvScale, i.RcvWnd, s.parsed.scale, s.rawWin)
		}
	})
}
