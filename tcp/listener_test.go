package tcp

import (
	"testing"

	"tcpd/ip"
)

func TestListen_match(t *testing.T) {
	one4, two4 := ip.Addr4([4]byte{10, 0, 0, 1}), ip.Addr4([4]byte{10, 0, 0, 2})
	one6 := ip.Addr{0: 0xfd, 15: 1}
	tb := NewTable(Config{})
	listen := func(a ip.Addr, port uint16, o ListenOptions) ListenerID {
		t.Helper()
		id, err := tb.Listen(a, port, o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tb.Listen(a, port, o); err != ErrInUse {
			t.Errorf("twice the same: %v", err)
		}
		return id
	}
	exact := listen(one4, 80, ListenOptions{})
	all4 := listen(any4, 80, ListenOptions{})
	all := listen(ip.Addr{}, 80, ListenOptions{})
	only6 := listen(ip.Addr{}, 81, ListenOptions{IPv6Only: true})
	for _, x := range []struct {
		addr ip.Addr
		port uint16
		want ListenerID
		ok   bool
	}{
		{one4, 80, exact, true}, {two4, 80, all4, true}, {one6, 80, all, true}, {one6, 81, only6, true}, {one4, 81, 0, false}, {one4, 82, 0, false},
	} {
		l := tb.match(x.addr, x.port)
		if (l != nil) != x.ok || l != nil && tb.id(l) != x.want {
			t.Errorf("%v:%d goes to the wrong listener", x.addr, x.port)
		}
	}
	tb.Unlisten(0, exact)
	if tb.id(tb.match(one4, 80)) != all4 {
		t.Error("the next best takes over")
	}
	if id := listen(one4, 80, ListenOptions{}); id != exact {
		t.Error("the number is used again")
	}
	if err := tb.Check(); err != nil {
		t.Error(err)
	}
}

func TestAttack_H04_fullBacklogCompletesNothing(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.listen(ListenOptions{Backlog: 2})
		first := c.flow.RemotePort
		for range 3 {
			c.knowISS = false
			c.send(seg{flags: SYN, opts: plain.syn(0)})
			c.want("there is room while nothing is established", seg{flags: SYN | ACK, ack: 1})
			c.flow.RemotePort++
		}
		last := c.iss
		c.flow.RemotePort = first
		for i := range 2 {
			c.flow.RemotePort = first + uint16(i)
			c.iss = c.halfISS()
			c.wantDrop("completes", c.send(seg{flags: ACK, seq: 1, ack: 1}), DropNone)
		}
		c.flow.RemotePort, c.iss = first+2, last
		c.wantDrop("the third has no place", c.send(seg{flags: ACK, seq: 1, ack: 1, len: 10}), DropBacklog)
		c.wantIdle("and its data is not acknowledged (N8)")
		c.flow.RemotePort++
		c.wantDrop("nor is another SYN answered", c.send(seg{flags: SYN}), DropBacklog)
		c.wantIdle("at all")
		c.flow.RemotePort--
		c.conn = c.table.Accept(c.listener)
		c.advanceToTimer()
		c.want("the SYN-ACK comes again", seg{flags: SYN | ACK, ack: 1})
		c.wantDrop("now there is room", c.send(seg{flags: ACK, seq: 1, ack: 1, len: 10}), DropNone)
		if n := c.table.Len(); n.Connections != 3 || n.HalfOpen != 0 {
			c.Errorf("%+v", n)
		}
	})
}

// turnAway lets a second client complete its handshake when the first has taken the only place.
func (c *talk) turnAway() {
	c.listen(ListenOptions{Backlog: 1})
	c.send(seg{flags: SYN})
	c.want("the first", seg{flags: SYN | ACK, ack: 1})
	c.send(seg{flags: ACK, seq: 1, ack: 1})
	c.flow.RemotePort++
	c.knowISS = false
	c.table.listeners[c.listener].opts.Backlog = 2
	c.send(seg{flags: SYN})
	c.want("the second", seg{flags: SYN | ACK, ack: 1})
	c.table.listeners[c.listener].opts.Backlog = 1
	c.wantDrop("there is no room", c.send(seg{flags: ACK, seq: 1, ack: 1}), DropBacklog)
}

// A peer that completed the handshake and waits for us to speak is told when there was never room for it.
func TestListen_turnedAwayIsTold(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.turnAway()
		for range synAckRetries {
			c.advanceToTimer()
			c.want("the SYN-ACK again", seg{flags: SYN | ACK, ack: 1})
		}
		c.advanceToTimer()
		c.want("it is told", seg{flags: RST | ACK, seq: 1, ack: 1})
	})
}

// So is one whose listener ends while it waits: no SYN-ACK will come again that could bring its answer.
func TestUnlisten_turnedAwayIsTold(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.turnAway()
		first := c.table.Accept(c.listener)
		c.table.Unlisten(c.now, c.listener)
		c.settle()
		c.want("it is told", seg{flags: RST | ACK, seq: 1, ack: 1})
		c.wantIdle("the first goes on")
		c.table.Abort(c.now, first)
	})
}

// halfISS looks up the initial sequence number of the half-open connection of the present flow.
func (c *talk) halfISS() Seq { return c.table.halves.at(c.table.find(&c.flow).index()).iss }

func TestAttack_H01_halfOpenLimit(t *testing.T) {
	converse(t, Config{HalfOpen: 16}, func(c *talk) {
		c.listen(ListenOptions{})
		for i := range 64 {
			c.wantDrop("a SYN of a flood", c.send(seg{flags: SYN}), DropNone)
			if cookies := c.table.Counters().CookiesSent; cookies != uint64(max(i-15, 0)) {
				c.Fatalf("%d cookies after %d SYNs", cookies, i+1)
			}
			c.flow.RemotePort++
		}
		if c.memory.used != 16*halfSize || halfSize > 128 {
			c.Errorf("%d bytes for 16 records of %d", c.memory.used, halfSize)
		}
		c.discard()
		c.advance(3 * Minute)
		if n := len(c.inbox); n != 16*synAckRetries {
			c.Errorf("%d SYN-ACKs were sent again", n)
		}
		c.wantGone()
	})
}

func TestHalfOpen_reset(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.listen(ListenOptions{})
		c.send(seg{flags: SYN})
		c.discard()
		c.wantDrop("in the window", c.send(seg{flags: RST, seq: 5}), DropResetWindow)
		c.want("is challenged", seg{flags: ACK, seq: 1, ack: 1})
		c.wantDrop("exact", c.send(seg{flags: RST, seq: 1}), DropNone)
		c.wantGone()
	})
}

func TestHold_accept(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.listen(ListenOptions{Hold: true})
		c.send(seg{flags: SYN, opts: modern.syn(c.peerClock())})
		c.wantIdle("no answer before the decision")
		c.wantEvent("there is something to decide", EventAttempt)
		a, ok := c.table.NextAttempt(c.listener)
		if !ok || a.Flow != c.flow {
			c.Fatalf("%+v, %v", a, ok)
		}
		c.wantDrop("the SYN again", c.send(seg{flags: SYN, opts: modern.syn(c.peerClock())}), DropHeld)
		c.wantIdle("still no answer")
		if !c.table.AcceptAttempt(c.now, a.ID) || c.table.AcceptAttempt(c.now, a.ID) {
			c.Error("an attempt is accepted once")
		}
		c.settle()
		c.want("now the SYN is answered", seg{flags: SYN | ACK, ack: 1})
		c.wantNoEvents("not done yet")
		c.ts = true
		c.send(seg{flags: ACK, seq: 1, ack: 1})
		e := c.wantEvent("done", EventAttemptDone)
		if e.Attempt != a.ID || e.Conn == nil || e.Conn.State() != Established {
			c.Errorf("%+v", e)
		}
		if c.table.Accept(c.listener) != nil {
			c.Error("it is nobody else's")
		}
	})
}

func TestHold_otherEnds(t *testing.T) {
	ends := map[string]func(c *talk, id AttemptID){
		"reject after the SYN-ACK": func(c *talk, id AttemptID) {
			c.table.AcceptAttempt(c.now, id)
			c.settle()
			c.want("the SYN is answered", seg{flags: SYN | ACK, ack: 1})
			c.table.RejectAttempt(c.now, id)
			c.settle()
			c.want("and refused", seg{flags: RST | ACK, seq: 1, ack: 1})
			c.wantNoEvents("who rejects knows")
			c.wantDrop("nothing is left", c.send(seg{flags: ACK, seq: 1, ack: 1}), DropClosedPort)
			c.discard()
		},
		"reject": func(c *talk, id AttemptID) {
			c.table.RejectAttempt(c.now, id)
			c.settle()
			c.want("refused", seg{flags: RST | ACK, seq: -int(c.iss), ack: 1})
			c.wantNoEvents("who decides knows")
		},
		"drop": func(c *talk, id AttemptID) {
			c.table.DropAttempt(id)
			c.settle()
			c.wantIdle("no answer")
			c.wantDrop("the next SYN is a new attempt", c.send(seg{flags: SYN}), DropNone)
			c.wantEvent("of its own", EventAttempt)
			a, _ := c.table.NextAttempt(c.listener)
			if a.ID == id {
				c.Error("with the same number")
			}
			c.table.DropAttempt(a.ID)
		},
		"peer resets": func(c *talk, id AttemptID) {
			c.send(seg{flags: RST, seq: 1})
			if e := c.wantEvent("the peer gave up", EventAttemptDone); e.Attempt != id || e.Conn != nil {
				c.Errorf("%+v", e)
			}
		},
		"nobody decides": func(c *talk, id AttemptID) {
			c.advance(heldTimeout + Second)
			c.wantEvent("time is up", EventAttemptDone)
		},
		"peer vanishes": func(c *talk, id AttemptID) {
			c.table.AcceptAttempt(c.now, id)
			c.advance(5 * Minute)
			c.discard()
			c.wantEvent("nobody acknowledges the SYN-ACK", EventAttemptDone)
		},
		"unlisten": func(c *talk, id AttemptID) {
			c.table.Unlisten(c.now, c.listener)
			c.settle()
			c.wantEvent("the listener ended", EventAttemptDone)
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			converse(t, Config{}, func(c *talk) {
				c.listen(ListenOptions{Hold: true})
				c.send(seg{flags: SYN})
				c.wantEvent("there is something to decide", EventAttempt)
				a, _ := c.table.NextAttempt(c.listener)
				end(c, a.ID)
				if c.table.AcceptAttempt(c.now, a.ID) {
					c.Error("accepted after its end")
				}
				c.wantGone()
			})
		})
	}
}

func TestUnlisten(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		mine := c.conn
		c.flow.RemotePort++
		c.knowISS = false
		c.handshake(plain)
		second := c.iss
		c.flow.RemotePort++
		c.knowISS = false
		c.send(seg{flags: SYN})
		c.discard()
		c.table.Unlisten(c.now, c.listener)
		c.flow.RemotePort--
		c.iss = second
		c.settle()
		c.want("what nobody accepted is reset", seg{flags: RST | ACK, seq: 1, ack: 1})
		c.wantIdle("nothing else happens")
		if n := c.table.Len(); n.Connections != 1 || n.HalfOpen != 0 || n.Listeners != 0 || mine.State() != Established {
			c.Errorf("%+v, %v", n, mine.State())
		}
		c.wantDrop("nobody listens", c.send(seg{flags: SYN}), DropClosedPort)
	})
}

func TestAccept_resetWhileItWaited(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.listen(ListenOptions{})
		c.handshake(plain)
		c.send(seg{flags: RST, seq: 1})
		if c.table.Accept(c.listener) != nil {
			c.Error("there is nothing to hand over")
		}
		c.wantGone()
	})
}

func TestConnect_ports(t *testing.T) {
	for _, base := range peerFlows {
		tb := NewTable(Config{Secret: [16]byte{7}})
		f := Flow{Local: base.Local, Remote: base.Remote, RemotePort: 80}
		seen := make(map[uint16]bool)
		neighbours := 0
		last := uint16(0)
		for range lastPort - firstPort + 1 {
			c, err := tb.Connect(0, f, Options{})
			if err != nil {
				t.Fatalf("after %d: %v", len(seen), err)
			}
			p := c.Flow().LocalPort
			if p < firstPort || p > lastPort || seen[p] {
				t.Fatalf("port %d", p)
			}
			if seen[p] = true; p == last+1 && len(seen) < 1000 {
				neighbours++
			}
			last = p
		}
		if neighbours > 100 {
			t.Errorf("%d of the first 1000 ports follow the one before", neighbours)
		}
		if _, err := tb.Connect(0, f, Options{}); err != ErrPorts {
			t.Errorf("all ports in use: %v", err)
		}
		f.RemotePort = 81
		if _, err := tb.Connect(0, f, Options{}); err != nil {
			t.Errorf("another peer: %v", err)
		}
	}
}

func TestConnect_reusesTimeWait(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(modern)
		c.closeInto(TimeWait)
		c.close()
		c.discard()
		old := c.iss + 2
		if _, err := c.table.Connect(c.now, c.flow, Options{}); err != ErrInUse {
			c.Errorf("at once our timestamps prove nothing: %v", err)
		}
		c.advance(1100 * Millisecond)
		c.table.SetLimits(0, 0, 0)
		c.memory.refuseFrom = 1
		if _, err := c.table.Connect(c.now, c.flow, Options{}); err != ErrMemory {
			c.Error(err)
		}
		if c.table.Len().TimeWait != 1 {
			c.Error("the record is gone and nothing took its place")
		}
		c.memory.refuseFrom = 0
		c.knowISS = false
		c.connect(Options{})
		if !old.Less(c.iss) || c.table.Len().TimeWait != 0 {
			c.Errorf("ISN %d after %d, %+v", c.iss, old, c.table.Len())
		}
	})
}

func TestConnect_errors(t *testing.T) {
	converse(t, Config{Connections: 1}, func(c *talk) {
		c.connect(Options{})
		f := c.flow
		if _, err := c.table.Connect(c.now, f, Options{}); err != ErrInUse {
			c.Error(err)
		}
		f.LocalPort = 0
		if _, err := c.table.Connect(c.now, f, Options{}); err != ErrLimit {
			c.Error(err)
		}
		c.listen(ListenOptions{})
		c.flow.RemotePort++
		c.wantDrop("the limit holds for both ways in", c.send(seg{flags: SYN}), DropConnections)
	})
}

// RFC 9293, MUST-46: an open to what is not a single host is refused; and so is one from there.
func TestConnect_invalidAddresses(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		for _, bad := range []ip.Addr{
			{}, ip.Addr4([4]byte{}), ip.Addr4([4]byte{0, 0, 0, 9}), ip.Addr4([4]byte{224, 0, 0, 1}), ip.Addr4([4]byte{239, 9, 9, 9}),
			ip.Addr4([4]byte{255, 255, 255, 255}), ip.Addr4([4]byte{240, 1, 1, 1}), {0xff, 0x02, 15: 1},
		} {
			for _, f := range []Flow{{Local: c.flow.Local, Remote: bad, RemotePort: 80}, {Local: bad, Remote: c.flow.Remote, RemotePort: 80}} {
				if _, err := c.table.Connect(c.now, f, Options{}); err != ErrAddress {
					c.Errorf("%v: %v", f, err)
				}
			}
		}
		if n := c.table.Len(); n.Connections != 0 {
			c.Errorf("%d connections", n.Connections)
		}
	})
}

func TestSetListenOptions(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.listen(ListenOptions{Options: Options{ReceiveBuffer: 200 << 20}})
		c.send(seg{flags: SYN, opts: modern.syn(c.peerClock())})
		scale := c.want("a SYN", seg{flags: SYN | ACK, ack: 1}).parsed.scale
		c.table.SetListenOptions(c.listener, Options{ReceiveBuffer: 4000, NoDelay: true})
		c.ts = true
		c.send(seg{flags: ACK, seq: 1, ack: 1})
		c.conn = c.table.Accept(c.listener)
		if i := c.table.Info(c.now, c.conn); i.RcvScale != int(scale) || i.RcvWnd != 65535 || !c.conn.opts.NoDelay {
			c.Errorf("the SYN-ACK promised scale %d and a window of 65535: %+v", scale, i)
		}
	})
}
