package tcp

import (
	"testing"

	"tcpd/ip"
)

func TestHandshake_passive(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.listen(ListenOptions{})
		c.send(seg{flags: SYN, opts: modern.syn(77)})
		s := c.want("the SYN is answered", seg{flags: SYN | ACK, ack: 1, win: 65535})
		if o := s.parsed; !o.hasScale || !o.sackPermitted || !o.hasTimestamps || o.tsEcr != 77 || int(o.mss) != 1500-c.flow.headerLen()-20 {
			c.Errorf("options of the SYN-ACK: %+v", *o)
		}
		if n := c.table.Len(); n.Connections != 0 || n.HalfOpen != 1 {
			c.Errorf("a half-open connection is a small record: %+v", n)
		}
		c.wantNoEvents("nothing is established yet")
		c.ts = true
		c.send(seg{flags: ACK, seq: 1, ack: 1})
		c.wantIdle("an ACK is not acknowledged")
		c.wantEvent("the handshake is over", EventAcceptable)
		c.conn = c.table.Accept(c.listener)
		c.wantState("after the handshake", Established)
	})
}

func TestHandshake_offersOnlyWhatThePeerOffered(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(peerOptions{scale: -1})
		i := c.table.Info(c.now, c.conn)
		if i.SACK || i.Timestamps || i.SndScale != 0 || i.RcvScale != 0 {
			c.Errorf("negotiated without an offer: %+v", i)
		}
		want := 536
		if !c.flow.Local.Is4() {
			want = 1220
		}
		if i.MSS != want {
			c.Errorf("without an MSS option segments are %d bytes, not %d (RFC 9293, MUST-15)", i.MSS, want)
		}
	})
}

func TestHandshake_active(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.connect(Options{})
		s := c.want("Connect sends a SYN", seg{flags: SYN, win: 65535})
		if o := s.parsed; !o.hasScale || !o.sackPermitted || !o.hasTimestamps || o.mss == 0 || o.tsEcr != 0 {
			c.Errorf("options of the SYN: %+v", *o)
		}
		c.advance(10 * Millisecond)
		c.send(seg{flags: SYN | ACK, ack: 1, opts: modern.synAck(c)})
		c.want("the SYN-ACK is acknowledged", seg{flags: ACK, seq: 1, ack: 1})
		c.wantEvent("the connection is open", EventConnected)
		if i := c.table.Info(c.now, c.conn); i.RTT < 10*Millisecond || i.RTT > 11*Millisecond {
			c.Errorf("the handshake took 10 ms, measured %d us", i.RTT/Microsecond)
		}
	})
}

func TestHandshake_dataWrittenBeforeGoesWithTheAck(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.connect(Options{})
		c.want("Connect sends a SYN", seg{flags: SYN})
		c.write(1, 100)
		c.wantIdle("no data before the handshake is over")
		c.closeWrite()
		c.wantIdle("no FIN before the handshake is over")
		c.send(seg{flags: SYN | ACK, ack: 1, opts: plain.syn(0)})
		c.want("the ACK carries data and FIN", seg{flags: ACK | PSH | FIN, seq: 1, ack: 1, len: 100})
		c.wantState("the FIN is sent", FinWait1)
	})
}

func TestHandshake_refused(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.connect(Options{})
		c.want("Connect sends a SYN", seg{flags: SYN})
		c.wantDrop("a RST that acknowledges nothing proves nothing", c.send(seg{flags: RST}), DropResetWindow)
		c.wantDrop("nor does one with a wrong ACK", c.send(seg{flags: RST | ACK, ack: 5}), DropHandshakeAck)
		c.wantState("still waiting", SynSent)
		c.send(seg{flags: RST | ACK, ack: 1})
		c.wantEvent("the open has failed", EventConnected)
		if c.conn.Err() != ErrRefused {
			c.Error(c.conn.Err())
		}
		c.close()
		c.wantIdle("nothing answers a RST")
		c.wantGone()
	})
}

// wantGone: all records and all memory have come back.
func (c *talk) wantGone() {
	c.Helper()
	if n := c.table.Len(); n.Connections+n.HalfOpen != 0 || c.table.Charged() != n.TimeWait*timeWaitSize {
		c.Errorf("left over: %+v, %d bytes", n, c.table.Charged())
	}
}

func TestHandshake_wrongAckIsReset(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.connect(Options{})
		c.want("Connect sends a SYN", seg{flags: SYN})
		c.send(seg{flags: ACK, seq: 300, ack: 9})
		c.want("a half-open peer is reset (RFC 9293, 3.10.7.3)", seg{flags: RST, seq: 9})
		c.send(seg{flags: SYN | ACK, ack: 0})
		c.want("ISS is not an acceptable ACK", seg{flags: RST, seq: 0})
		c.wantState("still waiting", SynSent)
	})
}

func TestHandshake_synRetransmission(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.connect(Options{})
		c.want("Connect sends a SYN", seg{flags: SYN})
		for i, want := 0, Second; i < synRetries; i, want = i+1, 2*want {
			if d := c.advanceToTimer(); d < want || d > want+want/100 {
				c.Errorf("retransmission %d after %d ms, want %d", i+1, d/Millisecond, want/Millisecond)
			}
			c.want("the SYN is lost", seg{flags: SYN})
		}
		c.advance(3 * Minute)
		c.wantEvent("given up", EventConnected)
		if c.conn.Err() != ErrTimeout {
			c.Error(c.conn.Err())
		}
		c.close()
		c.wantGone()
	})
}

// A runtime may run timers and take packets in before it polls.
func TestHandshake_answerCrossesTheTimer(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.connect(Options{})
		c.want("Connect sends a SYN", seg{flags: SYN})
		c.now = c.table.Deadline().Add(Second)
		c.table.Advance(c.now)
		c.arrive(seg{flags: SYN | ACK, ack: 1, opts: plain.syn(0)})
		c.settle()
		c.want("the SYN-ACK answers the first SYN", seg{flags: ACK, seq: 1, ack: 1})
		c.wantState("the handshake is over", Established)
		c.wantIdle("and the SYN is not needed any more")
	})
}

func TestHandshake_lostSynLeavesTheRTOCautious(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.connect(Options{})
		c.want("Connect sends a SYN", seg{flags: SYN})
		c.advanceToTimer()
		c.want("the SYN is lost", seg{flags: SYN})
		c.send(seg{flags: SYN | ACK, ack: 1, opts: plain.syn(0)})
		c.want("established", seg{flags: ACK, seq: 1, ack: 1})
		if i := c.table.Info(c.now, c.conn); i.RTT != 0 || i.RTO != 3*Second || i.Cwnd != 10*1000 {
			c.Errorf("RTT %d, RTO %d ms: Karn forbids the sample, RFC 6298 (5.7) wants 3 s; cwnd %d", i.RTT, i.RTO/Millisecond, i.Cwnd)
		}
	})
}

func TestHandshake_simultaneousOpen(t *testing.T) {
	for _, o := range []peerOptions{plain, modern} {
		converse(t, Config{}, func(c *talk) {
			c.connect(Options{})
			c.want("Connect sends a SYN", seg{flags: SYN})
			c.send(seg{flags: SYN, win: 4000, opts: o.syn(c.peerClock())})
			c.wantState("the SYNs crossed", SynReceived)
			c.want("a SYN is answered with SYN-ACK", seg{flags: SYN | ACK, ack: 1})
			c.send(seg{flags: SYN | ACK, ack: 1, win: 5000, opts: o.synAck(c)})
			c.wantState("the peer's SYN-ACK acknowledges our SYN", Established)
			c.wantEvent("open", EventConnected)
			if w := c.table.Info(c.now, c.conn).SndWnd; w != 5000 {
				c.Errorf("the window of a SYN is not scaled (RFC 7323, 2.2): %d", w)
			}
			c.discard()
			c.ts = o.ts
			c.write(1, 10)
			c.want("data flows", seg{flags: ACK | PSH, seq: 1, ack: 1, len: 10})
			c.send(seg{flags: ACK, seq: 1, ack: 11, len: 20})
			c.wantRead("both ways", 1, 20)
		})
	}
}

func TestHandshake_simultaneousOpenCompletedByAck(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.connect(Options{})
		c.send(seg{flags: SYN, opts: plain.syn(0)})
		c.discard()
		c.send(seg{flags: ACK, seq: 1, ack: 7})
		c.want("a wrong ACK in SYN-RECEIVED is reset", seg{flags: RST, seq: 7})
		c.advanceToTimer()
		c.want("our SYN-ACK is lost", seg{flags: SYN | ACK, ack: 1})
		c.send(seg{flags: ACK, seq: 1, ack: 1})
		c.wantState("an ACK will do", Established)
	})
}

func TestHandshake_simultaneousOpenClosedBeforeItIsOpen(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.connect(Options{})
		c.write(1, 5)
		c.send(seg{flags: SYN, opts: plain.syn(0)})
		c.discard()
		c.closeWrite()
		c.wantState("the FIN waits until the handshake is over", SynReceived)
		c.wantIdle("nothing leaves before")
		c.send(seg{flags: ACK, seq: 1, ack: 1})
		c.want("then data and FIN leave", seg{flags: ACK | PSH | FIN, seq: 1, ack: 1, len: 5})
		c.wantState("now", FinWait1)
		c.send(seg{flags: ACK, seq: 1, ack: 7})
		c.wantState("acknowledged", FinWait2)
	})
}

func TestHandshake_simultaneousOpenRefused(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.connect(Options{})
		c.send(seg{flags: SYN, opts: plain.syn(0)})
		c.discard()
		c.send(seg{flags: RST, seq: 1})
		if c.conn.Err() != ErrRefused {
			c.Error(c.conn.Err())
		}
		c.close()
		c.wantGone()
	})
}

func TestHandshake_synAckRetransmission(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.listen(ListenOptions{})
		c.send(seg{flags: SYN, opts: plain.syn(0)})
		c.want("the SYN is answered", seg{flags: SYN | ACK, ack: 1})
		c.send(seg{flags: SYN, opts: plain.syn(0)})
		c.want("a SYN that comes again is answered again", seg{flags: SYN | ACK, ack: 1})
		for range synAckRetries {
			c.advanceToTimer()
			c.want("the SYN-ACK may be lost", seg{flags: SYN | ACK, ack: 1})
		}
		c.advance(3 * Minute)
		c.wantIdle("a peer that never answers is forgotten")
		c.wantGone()
		c.send(seg{flags: ACK, seq: 1, ack: 1})
		c.want("and then unknown", seg{flags: RST, seq: 1})
	})
}

func TestHandshake_karn(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.listen(ListenOptions{})
		c.send(seg{flags: SYN, opts: plain.syn(0)})
		c.advance(500 * Millisecond)
		c.send(seg{flags: SYN, opts: plain.syn(0)})
		c.discard()
		c.send(seg{flags: ACK, seq: 1, ack: 1})
		c.conn = c.table.Accept(c.listener)
		if i := c.table.Info(c.now, c.conn); i.RTT != 0 {
			c.Errorf("two SYN-ACKs, one ACK: nobody knows what it answers, and %d us were measured", i.RTT/Microsecond)
		}
	})
}

func TestHandshake_halfOpenWindowIsScaled(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.listen(ListenOptions{})
		c.send(seg{flags: SYN, opts: modern.syn(c.peerClock())})
		c.discard()
		c.ts = true
		c.send(seg{flags: ACK, seq: 200_000, ack: 1})
		s := c.want("an ACK outside of the window is challenged", seg{flags: ACK, seq: 1, ack: 1})
		if w := s.rawWin << 7; w < 65535 || w >= 65535+1<<7 {
			c.Errorf("a window of %d was announced; the SYN-ACK promised 65535, which may be rounded up, not down", w)
		}
	})
}

func TestAttack_H11_dataAndFinOnSyn(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.listen(ListenOptions{})
		c.send(seg{flags: SYN, data: "early", opts: plain.syn(0)})
		c.want("data on a SYN is not acknowledged", seg{flags: SYN | ACK, ack: 1})
		if c.memory.used != halfSize {
			c.Errorf("nor is it kept: %d bytes", c.memory.used)
		}
		c.wantDrop("SYN with FIN is nonsense", c.send(seg{flags: SYN | FIN, seq: 9000}), DropFlags)
		c.send(seg{flags: ACK | FIN, seq: 1, ack: 1, len: 5})
		c.conn = c.table.Accept(c.listener)
		c.wantRead("it comes again, with the ACK", 1, 5)
		c.wantEOF("and the FIN as well")
	})
}

func TestAttack_H12_selfConnect(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		f := Flow{Local: c.flow.Local, Remote: c.flow.Local, LocalPort: 80, RemotePort: 80}
		if _, err := c.table.Connect(c.now, f, Options{}); err != ErrInUse {
			c.Errorf("a connection to itself: %v", err)
		}
		f.LocalPort, f.RemotePort = 0, firstPort
		for range 100 {
			conn, err := c.table.Connect(c.now, f, Options{})
			if err != nil || conn.flow.LocalPort == firstPort {
				c.Fatalf("port %d chosen, %v", conn.flow.LocalPort, err)
			}
		}
		c.listen(ListenOptions{})
		c.flow = Flow{Local: c.flow.Local, Remote: c.flow.Local, LocalPort: 80, RemotePort: 80}
		c.wantDrop("land", c.arrive(seg{flags: SYN}), DropFlags)
	})
}

func TestAttack_H05_initialSequenceNumbers(t *testing.T) {
	s := newSecret([16]byte{9})
	f := peerFlows[0]
	last := s.isn(0, &f)
	for now := Time(64); now < Time(10*Second); now += Time(977 * Microsecond) {
		if n := s.isn(now, &f); !last.Less(n) {
			t.Fatalf("not monotonic at %d", now)
		} else {
			last = n
		}
	}
	seen := make(map[Seq]bool)
	for i := range 100_000 {
		f.RemotePort, f.Remote = uint16(i), ip.Addr4([4]byte{10, 1, byte(i >> 16), 1})
		seen[s.isn(0, &f)] = true
	}
	if len(seen) < 99_990 { // 100,000 draws of 2^32 collide once
		t.Errorf("%d different numbers for 100,000 flows", len(seen))
	}
	other := newSecret([16]byte{8})
	if other.isn(0, &f) == s.isn(0, &f) {
		t.Error("the secret does not matter")
	}
}

// Timestamps of one connection tell nothing of those of another between the same hosts; for one flow the clock goes on from
// incarnation to incarnation (RFC 7323, section 7.1; RFC 6191).
func TestAttack_H05_timestampOffsets(t *testing.T) {
	s := newSecret([16]byte{9})
	for _, f := range peerFlows {
		seen := make(map[uint32]bool)
		for i := range 10_000 {
			f.RemotePort = uint16(i)
			seen[s.timestampOffset(&f)>>12] = true
		}
		if len(seen) < 9_800 { // 10,000 draws of 2^20 collide some 48 times
			t.Errorf("%d different offsets of 10,000 ports", len(seen))
		}
	}
}
