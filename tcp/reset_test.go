package tcp

import (
	"testing"

	"tcpd/ip"
)

func TestAttack_E01_onlyTheExactResetResets(t *testing.T) {
	for _, s := range []State{Established, FinWait1, FinWait2, CloseWait, Closing, LastAck} {
		converse(t, Config{}, func(c *talk) {
			seq, _ := c.reach(s)
			for _, off := range []int{1, 2, 1000, 65534} {
				c.advance(Second)
				c.discard()
				c.wantDrop("a RST elsewhere in the window", c.send(seg{flags: RST, seq: seq + off}), DropResetWindow)
				c.want("is challenged (RFC 5961, section 3.2)", seg{flags: ACK, seq: c.conn.snd.nxt.Sub(c.iss), ack: seq})
			}
			for _, off := range []int{-1, 65536, 1 << 30, -1 << 20} {
				c.wantDrop("outside of the window it is nothing", c.send(seg{flags: RST, seq: seq + off}), DropSequence)
				c.wantIdle("and not answered")
			}
			c.wantState("none of them did anything", s)
			c.send(seg{flags: RST, seq: seq})
			c.wantState("the exact one resets", Closed)
			want := ErrReset
			if s == Closing || s == LastAck {
				want = nil
			}
			if c.conn.Err() != want {
				c.Errorf("want %v, got %v", want, c.conn.Err())
			}
			c.close()
			c.wantGone()
		})
	}
}

// Forged resets between segments of ours book challenges, and each segment takes the booked one along: that was silence for as many
// half seconds as there were resets, and a keep-alive that nobody answers ends the other side.
func TestAttack_E04_resetsBuyNoSilence(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(sacking)
		for i := range 100 {
			c.send(seg{flags: RST, seq: 100})
			c.write(1+i, 1)
			c.send(seg{flags: ACK, seq: 1, ack: 2 + i})
		}
		c.discard()
		c.advance(2*invalidInterval + invalidInterval/4)
		c.discard()
		c.send(seg{flags: ACK, seq: 0, ack: 101})
		c.want("a keep-alive a second later is answered", seg{flags: ACK, seq: 101, ack: 1})
	})
}

// Who gave up while its data was lost sends one RST, and it is not at RCV.NXT. It is asked even if another challenge went before.
func TestReset_isChallengedLateRatherThanNever(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.send(seg{flags: ACK, seq: -5, ack: 1})
		c.want("an old segment is answered", seg{flags: ACK, seq: 1, ack: 1})
		c.wantDrop("a RST behind what was lost", c.send(seg{flags: RST, seq: 100}), DropResetWindow)
		c.wantIdle("two challenges in half a second are too many")
		c.advance(invalidInterval + invalidInterval/8)
		c.want("but it is not forgotten", seg{flags: ACK, seq: 1, ack: 1})
		c.send(seg{flags: RST, seq: 1})
		c.wantState("nobody is there any more", Closed)
		c.close()
	})
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.conn.rcv.quick = 0
		c.send(seg{flags: ACK, seq: -5, ack: 1})
		c.discard()
		c.wantDrop("a RST behind what was lost", c.send(seg{flags: RST, seq: 100}), DropResetWindow)
		c.send(seg{flags: ACK, seq: 1, ack: 1, len: 10})
		c.advance(delayedAck)
		c.want("data that comes meanwhile is acknowledged in time, and that asks as well", seg{flags: ACK, seq: 1, ack: 11})
		c.advance(Second)
		c.wantIdle("so that is enough")
		c.close()
	})
}

func TestReset_lostDataIsReported(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.send(seg{flags: FIN | ACK, seq: 1, ack: 1})
		c.write(1, 10)
		c.closeWrite()
		c.wantState("all is sent", LastAck)
		c.send(seg{flags: RST, seq: 2})
		if c.conn.Err() != ErrReset {
			c.Errorf("ten bytes were lost and the error is %v", c.conn.Err())
		}
		c.close()
	})
}

func TestReset_whatWasReceivedIsReadFirst(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.send(seg{flags: ACK, seq: 1, ack: 1, len: 10})
		c.send(seg{flags: RST, seq: 11})
		c.wantEvent("readers wake", EventReadable)
		c.wantEvent("writers wake", EventWritable)
		c.wantRead("bytes that came before", 1, 10)
		if _, err := c.read(1); err != ErrReset {
			c.Error(err)
		}
		if _, err := c.table.Write(c.now, c.conn, []byte{1}); err != ErrReset {
			c.Error(err)
		}
		c.close()
		c.wantGone()
	})
}

func TestAttack_E02_synIsChallenged(t *testing.T) {
	for _, s := range []State{Established, FinWait1, FinWait2, CloseWait, Closing, LastAck} {
		converse(t, Config{}, func(c *talk) {
			seq, _ := c.reach(s)
			for _, off := range []int{-1, 0, 1, 60000, 70000, -1 << 31} {
				for _, f := range []Flags{SYN, SYN | ACK} {
					c.advance(Second)
					c.discard()
					c.send(seg{flags: f, seq: seq + off, ack: 1})
					c.want("a SYN is challenged wherever it lies (RFC 5961, section 4)", seg{flags: ACK, seq: c.conn.snd.nxt.Sub(c.iss), ack: seq})
					c.wantState("and changes nothing", s)
				}
			}
		})
	}
}

func TestAttack_E03_ackRange(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.write(1, 3000)
		c.send(seg{flags: ACK, seq: 1, ack: 3001})
		c.discard()
		for _, ack := range []int{3002, 3001 + 60000, 3001 - 65536, 1 << 31} {
			c.advance(Second)
			d := c.send(seg{flags: ACK, seq: 1, ack: ack, len: 10})
			c.wantDrop("an ACK of what was never sent, or too old", d, DropAckRange)
			c.want("is challenged", seg{flags: ACK, seq: 3001, ack: 1})
		}
		if b, _ := c.read(1); len(b) != 0 {
			c.Error("its data was taken")
		}
		c.send(seg{flags: ACK, seq: 1, ack: 2, len: 10})
		c.wantRead("an old ACK within a window is no reason to refuse data", 1, 10)
	})
}

func TestAttack_E04_challengesAreLimitedForEachConnection(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		sent := 0
		for range 1000 {
			c.send(seg{flags: RST, seq: 100})
			sent += len(c.inbox)
			c.discard()
			c.advance(10 * Millisecond)
		}
		if sent < 15 || sent > 20 {
			c.Errorf("%d challenges in 10 s, want one each 500 ms and a little", sent)
		}
		c.flow.RemotePort++
		c.knowISS = false
		c.handshake(plain)
		c.conn = c.table.Accept(c.listener)
		c.send(seg{flags: RST, seq: 100})
		c.want("another connection has a limit of its own", seg{flags: ACK, seq: 1, ack: 1})
	})
}

func TestAttack_E05_ackWarDiesOut(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.send(seg{flags: ACK, seq: 90_000, ack: 1})
		c.want("an ACK from outside of the window", seg{flags: ACK, seq: 1, ack: 1})
		for range 20 {
			c.advance(5 * Millisecond)
			c.send(seg{flags: ACK, seq: 90_000, ack: 1})
		}
		c.wantIdle("is not answered again within half a second")
		c.send(seg{flags: ACK, seq: 90_000, ack: 1, len: 1})
		c.want("data is always answered", seg{flags: ACK, seq: 1, ack: 1})
		c.send(seg{flags: FIN | ACK, seq: 1, ack: 1})
		c.want("the peer's FIN", seg{flags: ACK, seq: 1, ack: 2})
		for range 3 {
			c.send(seg{flags: FIN | ACK, seq: 1, ack: 1})
			c.want("a FIN that comes again is answered each time: our ACK was lost", seg{flags: ACK, seq: 1, ack: 2})
		}
	})
}

func TestReset_unknownFlow(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.send(seg{flags: SYN, seq: 5, len: 3})
		c.want("nobody listens", seg{flags: RST | ACK, seq: -int(c.iss), ack: 9})
		c.send(seg{flags: ACK, seq: 5, ack: 77})
		c.want("a RST takes its number from the ACK", seg{flags: RST, seq: 77})
		c.send(seg{flags: RST | ACK, seq: 5, ack: 77})
		c.wantIdle("a RST is not answered")
	})
}

// otherSource makes the peer's a network of its own.
func (c *talk) otherSource(n byte) {
	if c.flow.Remote.Is4() {
		c.flow.Remote[14] = n
	} else {
		c.flow.Remote[7] = n
	}
}

func TestAttack_T04_resetsAreBoundedBySource(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.quiet = true
		stray := func(n int) (answers int) {
			for i := range n {
				c.arrive(seg{flags: ACK, seq: i, ack: i})
				c.settle()
			}
			answers = len(c.inbox)
			c.discard()
			return answers
		}
		if n := stray(5000); n != resetBurst {
			c.Errorf("%d answers to 5000 strays", n)
		}
		if n := c.table.Counters().ResetsSuppressed; n != 5000-resetBurst {
			c.Errorf("%d counted as suppressed", n)
		}
		c.advance(100 * Millisecond)
		if n := stray(1000); n != resetRate/10 {
			c.Errorf("a tenth of a second later %d more", n)
		}
		c.flow.Remote[15] += 5
		if n, more := stray(10), c.flow.Remote.Is4(); more != (n == 10) {
			c.Errorf("%d answers to its neighbour; hosts of an IPv6 /64 are one source", n)
		}
		c.otherSource(7)
		if n := stray(10); n != 10 {
			c.Errorf("%d answers to another source", n)
		}
	})
}

func TestAttack_T04_repliesAreBounded(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		for i := range 5000 {
			c.otherSource(byte(i >> 8))
			c.arrive(seg{flags: ACK, seq: i, ack: i})
		}
		n := 0
		for out := (ip.Outgoing{}); c.table.Poll(c.now, &out); n++ {
		}
		if n != maxReplies {
			c.Errorf("%d replies", n)
		}
		if n := c.table.Counters().RepliesSuppressed; n != 5000-maxReplies {
			c.Errorf("%d counted as suppressed", n)
		}
		c.quiet = true
	})
}
