package tcp

import (
	"testing"

	"tcpd/ip"
)

// sized is a budget whose fill a test decides.
type sized struct {
	unlimited
	limit   int
	pressed bool
	full    bool
}

func (s *sized) Limit() int      { return s.limit }
func (s *sized) Exhausted() bool { return s.full }
func (s *sized) Pressure() bool  { return s.pressed }

func TestBudget_boundsBuffersThatNobodyBounded(t *testing.T) {
	for _, x := range []struct{ limit, buffer int }{
		{512 << 20, 65535 << 10}, // 300 ms at 1 Gbit/s take 37.5 MB
		{64 << 20, 8 << 20},
		{256 << 10, 64 << 10},
	} {
		table := NewTable(Config{Memory: &sized{limit: x.limit}})
		if o := table.complete(Options{}); o.ReceiveBuffer != x.buffer || o.SendBuffer != x.buffer {
			t.Errorf("a budget of %d leaves buffers of %d and %d, want %d", x.limit, o.ReceiveBuffer, o.SendBuffer, x.buffer)
		}
		if o := table.complete(Options{ReceiveBuffer: 1 << 20, SendBuffer: 2 << 20}); o.ReceiveBuffer != 1<<20 || o.SendBuffer != 2<<20 {
			t.Errorf("what was told is not kept: %d and %d", o.ReceiveBuffer, o.SendBuffer)
		}
	}
	if s := windowScale(65535 << 10); s != 10 {
		t.Errorf("the largest buffer needs a window scale of %d", s)
	}
}

// A budget that becomes another bounds the buffers of listeners that are there already, unless they were told.
func TestBudget_listenersFollowIt(t *testing.T) {
	for _, told := range []int{0, 1 << 20} {
		for _, f := range []Flow{flow4, flow6} {
			memory := &sized{limit: 512 << 20}
			p := newPair(t)
			p.ends[1] = NewTable(Config{Secret: [16]byte{2}, Memory: memory})
			l, err := p.ends[1].Listen(ip.Addr{}, f.RemotePort, ListenOptions{Options: Options{ReceiveBuffer: told, SendBuffer: told}})
			if err != nil {
				t.Fatal(err)
			}
			for i, buffer := range []int{65535 << 10, 8 << 20, 16 << 20} {
				if memory.limit = []int{512 << 20, 64 << 20, 128 << 20}[i]; i > 0 {
					p.ends[1].SetLimits(0, 0, 0)
				}
				if told != 0 {
					buffer = told
				}
				f.LocalPort++
				if _, err := p.ends[0].Connect(p.now, f, Options{}); err != nil {
					t.Fatal(err)
				}
				var c *Conn
				for c = p.ends[1].Accept(l); c == nil; c = p.ends[1].Accept(l) {
					p.step()
				}
				if o := c.Options(); o.ReceiveBuffer != buffer || o.SendBuffer != buffer || int(c.rcv.max) != buffer {
					t.Errorf("with a budget of %d: buffers of %d and %d, want %d", memory.limit, o.ReceiveBuffer, o.SendBuffer, buffer)
				}
			}
		}
	}
}

// Under pressure a buffer shrinks while the application reads, down to what every connection begins with, and the right edge
// stays where it is.
func TestBudget_pressureShrinksTheReceiveBuffer(t *testing.T) {
	memory := &sized{limit: 512 << 20}
	r := newRigOf(t, Config{Secret: [16]byte{1}, MTU: 1500, Memory: memory}, peerFlows[0], true, Options{})
	const n = 64 * 1024 / 1448 * 1448
	r.build(peerFlows[0], ACK, 1, 1, r.stamp(true), n)
	r.packet.Offload.SegmentSize = 1448
	for range 300 {
		r.now = r.now.Add(Millisecond)
		r.receive(t, n)
	}
	grown := r.conn.rcv.limit
	if grown <= initialBuffer {
		t.Fatalf("the buffer has not grown: %d", grown)
	}
	memory.pressed = true
	for range 300 {
		edge := r.conn.rcv.adv
		r.now = r.now.Add(Millisecond)
		r.receive(t, n)
		if r.conn.rcv.adv.Less(edge) {
			t.Fatalf("the right edge moved from %d back to %d", edge, r.conn.rcv.adv)
		}
	}
	if got := r.conn.rcv.limit; got != initialBuffer {
		t.Errorf("under pressure the buffer went from %d to %d, want %d", grown, got, initialBuffer)
	}
}

// An exhausted budget opens nothing, and what exists goes in a stated order, each with a RST and a count; until there is room.
func TestReclaim_order(t *testing.T) {
	for _, f := range peerFlows {
		memory := &sized{limit: 1 << 20}
		r := newRigOf(t, Config{Secret: [16]byte{1}, MTU: 1500, Memory: memory}, f, false, Options{})
		stays := r.conn
		idle := r.open(t, &f)
		closed := r.open(t, &f)
		if _, err := r.table.Write(r.now, closed, make([]byte, 5000)); err != nil {
			t.Fatal(err)
		}
		r.flush()
		r.build(f, ACK, 1, closed.snd.nxt, nil, 0)
		r.packet.Payload[14], r.packet.Payload[15] = 0, 0 // the window closes
		r.deliver(t)
		if _, err := r.table.Write(r.now, closed, make([]byte, 5000)); err != nil {
			t.Fatal(err)
		}
		r.flush()
		wait := r.open(t, &f)
		r.end(t, wait, f)
		orphan := r.open(t, &f)
		if _, err := r.table.Write(r.now, orphan, make([]byte, 5000)); err != nil {
			t.Fatal(err)
		}
		r.table.Close(r.now, orphan)
		r.flush()

		r.now = r.now.Add(zeroWindowPatience)
		stays.heard = r.now
		memory.full = true
		if _, err := r.table.Connect(r.now, Flow{Local: f.Local, Remote: f.Remote, RemotePort: 9}, Options{}); err != ErrMemory {
			t.Errorf("Connect: %v, want that there is no memory", err)
		}
		var order []sacrifice
		for range 40 {
			before := r.table.counters.Reclaimed
			resets := r.table.counters.ResetsOut
			r.now = r.now.Add(reclaimInterval)
			r.table.reclaim(r.now)
			r.flush()
			for k := range numSacrifices {
				for range r.table.counters.Reclaimed[k] - before[k] {
					order = append(order, k)
					if k != sacrificeTimeWait && r.table.counters.ResetsOut == resets {
						t.Errorf("kind %d went without a RST", k)
					}
				}
			}
			if err := r.table.Check(); err != nil {
				t.Fatal(err)
			}
		}
		want := []sacrifice{sacrificeOrphan, sacrificeTimeWait, sacrificeZeroWindow, sacrificeIdle}
		if len(order) != len(want) {
			t.Fatalf("given up: %v, want %v", order, want)
		}
		for i := range want {
			if order[i] != want[i] {
				t.Fatalf("given up: %v, want %v", order, want)
			}
		}
		if idle.Err() != ErrMemory || closed.Err() != ErrMemory || stays.Err() != nil || stays.State() != Established {
			t.Errorf("idle %v, closed window %v, busy %v", idle.Err(), closed.Err(), stays.Err())
		}
		memory.full = false
		r.table.reclaim(r.now)
		r.open(t, &f)
	}
}

// open opens one more connection, from the next port of the peer.
func (r *rig) open(tb testing.TB, f *Flow) *Conn {
	tb.Helper()
	f.RemotePort++
	o := peerOptions{mss: 1460, scale: 10, sack: true}
	r.build(*f, SYN, 0, 0, o.syn(1), 0)
	r.deliver(tb)
	h := r.table.halves.at(r.table.find(f).index())
	r.build(*f, ACK, 1, h.iss+1, nil, 0)
	r.deliver(tb)
	c := r.table.Accept(0)
	if c == nil {
		tb.Fatal("no connection")
	}
	return c
}

// end closes c in order, us first.
func (r *rig) end(tb testing.TB, c *Conn, f Flow) {
	tb.Helper()
	r.table.Close(r.now, c)
	r.flush()
	r.build(f, FIN|ACK, 1, c.snd.nxt, nil, 0)
	r.deliver(tb)
	if r.table.waits.n == 0 {
		tb.Fatal("not in TIME-WAIT")
	}
}

var _ Budget = (*sized)(nil)

// TestReclaim_closedWindowThatSpeaks: a peer that goes on saying that its window is closed gets nothing by it: nothing has left.
func TestReclaim_closedWindowThatSpeaks(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(peerOptions{mss: 1400, scale: -1})
		c.write(1, 1400)
		c.send(seg{flags: ACK, seq: 1, ack: 1401, win: closed})
		c.write(1401, 5000)
		for range 4 {
			c.advance(10 * Second)
			c.send(seg{flags: ACK, seq: 1, ack: 1401, win: closed})
			c.discard()
		}
		if !c.conn.isSacrifice(c.now, sacrificeZeroWindow) {
			c.Errorf("data left last %d s ago, it is said", c.now.Sub(c.conn.lastSent)/Second)
		}
	})
}

// scarce is a budget with a limit.
type scarce struct {
	*budget
	limit int
}

func (m *scarce) Charge(n int) bool { return m.used+n <= m.limit && m.budget.Charge(n) }
func (m *scarce) Limit() int        { return m.limit }
func (m *scarce) Pressure() bool    { return m.used >= m.limit/5*4 }
func (m *scarce) Exhausted() bool   { return m.used >= m.limit/20*19 }

// One byte at the far edge of the window needs pages for all of it. Who sends such bytes on many connections uses up what is there, but
// nobody else is given up for it.
func TestReclaim_bytesBeyondHolesEndNobodyElse(t *testing.T) {
	c := newTalk(t, Config{}, peerFlows[0])
	defer c.report()
	c.quiet = true
	m := &scarce{c.memory, 16 << 20}
	c.table = NewTable(Config{Secret: [16]byte{1}, Memory: m})
	c.listen(ListenOptions{Options: Options{ReceiveBuffer: 1 << 20}})
	open := func(port int) *Conn {
		c.flow.RemotePort, c.knowISS = uint16(port), false
		c.discard()
		c.handshake(modern)
		return c.table.Accept(c.listener)
	}
	var honest [20]*Conn
	for i := range honest {
		honest[i] = open(1000 + i)
	}
	c.advance(15 * Second)
	for i := range 250 {
		c.conn = open(2000 + i)
		edge := c.conn.rcv.adv.Sub(c.peerISS)
		c.send(seg{flags: ACK, seq: edge - 1, ack: 1, len: 1})
	}
	if !m.Pressure() {
		t.Errorf("%d of %d bytes: the attack is too weak to show anything", m.used, m.limit)
	}
	for range 20 {
		c.advance(100 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 1})
	}
	for i, k := range honest {
		if k.Err() != nil {
			t.Errorf("connection %d ended: %v", i, k.Err())
		}
	}
	// A hole of a segment or two is filled as ever.
	c.conn = open(3000)
	c.wantDrop("a segment behind a hole", c.send(seg{flags: ACK, seq: 2001, ack: 1, len: 1000}), DropNone)
}
