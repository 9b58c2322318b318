package tcp

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tcpd/ip"
)

var recording = Config{Recorders: 4}

// record returns what the connection's recorder holds.
func (c *talk) record() Record {
	c.Helper()
	r, ok := c.table.Record(c.conn)
	if !ok {
		c.Fatal("the connection has no recorder")
	}
	return r
}

func (c *talk) wantPath(want ...State) {
	c.Helper()
	var got []State
	for _, s := range c.record().Path {
		got = append(got, s.State)
	}
	if !slices.Equal(got, want) {
		c.Fatalf("the path is %v, want %v", got, want)
	}
}

// wantSegments compares the last recorded segments with lines of text.
func (c *talk) wantSegments(want ...string) {
	c.Helper()
	var got []string
	for _, s := range c.record().Segments {
		line := fmt.Sprintf("in  %v", s.Flags)
		if s.Sent {
			line = fmt.Sprintf("out %v", s.Flags)
		}
		line += fmt.Sprintf(" %d+%d ack %d", s.Seq, s.Len, s.Ack)
		if s.SACK != nil {
			line += fmt.Sprintf(" sack %d-%d", s.SACK.Start, s.SACK.End)
		}
		if s.Again {
			line += " again"
		}
		if s.Drop != DropNone {
			line += " " + s.Drop.String()
		}
		got = append(got, line)
	}
	if got = got[max(len(got)-len(want), 0):]; !slices.Equal(got, want) {
		c.Fatalf("recorded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestRecorder_isSmall(t *testing.T) {
	if RecorderSize > 2048 {
		t.Errorf("a recorder takes %d bytes, want at most 2048", RecorderSize)
	}
}

func TestRecorder_segments(t *testing.T) {
	converse(t, recording, func(c *talk) {
		c.accepted(modern)
		if _, ok := c.table.Record(c.conn); ok {
			c.Error("a connection that only was established has a recorder")
		}
		begin := c.now
		c.send(seg{flags: ACK, seq: 1, ack: 1, len: 10})
		c.send(seg{flags: ACK, seq: 21, ack: 1, len: 10})
		c.send(seg{flags: ACK, seq: 21, ack: 1, len: 10})
		c.discard()
		c.write(1, 100)
		c.discard()
		c.advanceToTimer()
		c.send(seg{flags: ACK, seq: 31, ack: 101})
		c.discard()
		c.wantSegments("in  A 1+10 ack 1", "out A 1+0 ack 11", "in  A 21+10 ack 1", "out A 1+0 ack 11 sack 21-31",
			"in  A 21+10 ack 1 duplicate", "out A 1+0 ack 11 sack 21-31",
			"out PA 1+100 ack 11 sack 21-31", "out PA 1+100 ack 11 sack 21-31 again",
			"in  A 31+0 ack 101")
		r := c.record()
		first, last := r.Segments[0], r.Segments[len(r.Segments)-1]
		if c.now.Sub(last.At) >= Microsecond || begin.Sub(first.At) >= Microsecond {
			c.Errorf("recorded from %d to %d, want %d to %d", first.At, last.At, begin, c.now)
		}
	})
}

func TestRecorder_keepsTheLast(t *testing.T) {
	converse(t, recording, func(c *talk) {
		c.accepted(plain)
		for i := range 100 {
			c.send(seg{flags: ACK, seq: 1 + 10*i, ack: 1, len: 10})
			c.read(10)
		}
		c.discard()
		r := c.record()
		if len(r.Segments) != 64 || r.Total < 100 {
			c.Errorf("%d of %d segments are kept, want the last 64 of at least 100", len(r.Segments), r.Total)
		}
		for i, s := range r.Segments[1:] {
			if s.At < r.Segments[i].At {
				c.Fatal("the segments are not in the order of time")
			}
		}
		if !slices.ContainsFunc(r.Segments, func(s RecordedSegment) bool { return !s.Sent && s.Seq == 991 }) {
			c.Error("the last segment is not among those kept")
		}
	})
}

func TestRecorder_pathPassiveCloseFirst(t *testing.T) {
	converse(t, recording, func(c *talk) {
		c.accepted(plain)
		c.closeWrite()
		c.wantPath(Listen, SynReceived, Established, FinWait1)
		c.send(seg{flags: ACK, seq: 1, ack: 2})
		c.advance(Second)
		c.send(seg{flags: ACK | FIN, seq: 1, ack: 2})
		c.wantPath(Listen, SynReceived, Established, FinWait1, FinWait2, TimeWait)
		p := c.record().Path
		if p[5].At != c.now || p[4].At != c.now.Add(-Second) || p[3].At != c.now.Add(-Second) || p[1].At != 0 {
			c.Errorf("the times of the path are wrong: %v, now %d", p, c.now)
		}
		c.discard()
	})
}

// Two states in one segment are two steps.
func TestRecorder_pathTwoStepsAtOnce(t *testing.T) {
	converse(t, recording, func(c *talk) {
		c.accepted(plain)
		c.closeWrite()
		c.send(seg{flags: ACK | FIN, seq: 1, ack: 2})
		c.wantPath(Listen, SynReceived, Established, FinWait1, FinWait2, TimeWait)
		c.discard()
	})
}

func TestRecorder_pathPeerFirst(t *testing.T) {
	converse(t, recording, func(c *talk) {
		c.accepted(plain)
		c.send(seg{flags: ACK | FIN, seq: 1, ack: 1})
		c.closeWrite()
		c.wantPath(Listen, SynReceived, Established, CloseWait, LastAck)
		c.send(seg{flags: ACK, seq: 2, ack: 2})
		c.wantPath(Listen, SynReceived, Established, CloseWait, LastAck, Closed)
		c.discard()
	})
}

func TestRecorder_pathSimultaneousClose(t *testing.T) {
	converse(t, recording, func(c *talk) {
		c.accepted(plain)
		c.closeWrite()
		c.send(seg{flags: ACK | FIN, seq: 1, ack: 1})
		c.send(seg{flags: ACK, seq: 2, ack: 2})
		c.wantPath(Listen, SynReceived, Established, FinWait1, Closing, TimeWait)
		c.discard()
	})
}

// TestRecorder_pathActive: two tables, the simultaneous open included.
func TestRecorder_pathActive(t *testing.T) {
	for _, crossed := range []bool{false, true} {
		p := newPair(t)
		for _, e := range p.ends {
			e.SetRecorders(10)
		}
		f := flow4
		var c *Conn
		want := []State{SynSent, Established, FinWait1}
		if crossed {
			f.LocalPort = 40000
			back := Flow{Local: f.Remote, LocalPort: f.RemotePort, Remote: f.Local, RemotePort: f.LocalPort}
			c, _ = p.ends[0].Connect(p.now, f, Options{})
			if _, err := p.ends[1].Connect(p.now, back, Options{}); err != nil {
				t.Fatal(err)
			}
			for range 20 {
				p.step()
			}
			want = []State{SynSent, SynReceived, Established, FinWait1}
		} else {
			c, _ = p.open(f)
		}
		p.ends[0].CloseWrite(p.now, c)
		r, ok := p.ends[0].Record(c)
		var got []State
		for i, s := range r.Path {
			got = append(got, s.State)
			if i < len(r.Path)-1 && s.At == 0 {
				t.Errorf("%v has no time", s.State)
			}
		}
		if !ok || !slices.Equal(got, want) {
			t.Errorf("the path is %v, want %v", got, want)
		}
	}
}

func TestRecorder_lateIsSaid(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.send(seg{flags: ACK | FIN, seq: 1, ack: 1})
		if _, ok := c.table.Record(c.conn); ok {
			c.Fatal("recorded though there are no recorders")
		}
		c.table.SetRecorders(1)
		c.send(seg{flags: ACK, seq: 2, ack: 1})
		c.wantPath(CloseWait)
		if r := c.record(); !r.Late || r.Path[0].At != 0 {
			c.Errorf("%+v, want it said that the path before is not known", r)
		}
		c.table.SetRecorders(0)
		n := c.record().Total
		c.closeWrite()
		if got := c.record().Total; got != n {
			c.Errorf("%d segments became %d with the recorders off", n, got)
		}
		c.discard()
	})
}

// TestRecorder_bounded: as many as may be; then the oldest changes hands, and nothing is left over in the end.
func TestRecorder_bounded(t *testing.T) {
	p := newPair(t)
	m := &budget{}
	p.ends[1] = NewTable(Config{Secret: [16]byte{2}, Memory: m, Recorders: 3})
	l, err := p.ends[1].Listen(ip.Addr{}, 80, ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var ours, theirs []*Conn
	recorded := func() (set []int) {
		for i, c := range theirs {
			if _, ok := p.ends[1].Record(c); ok {
				set = append(set, i)
			}
		}
		return set
	}
	for range 5 {
		c, err := p.ends[0].Connect(p.now, flow4, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var s *Conn
		for s == nil {
			p.step()
			s = p.ends[1].Accept(l)
		}
		p.ends[0].Write(p.now, c, []byte("hello"))
		for range 5 {
			p.step()
		}
		ours, theirs = append(ours, c), append(theirs, s)
	}
	if got := recorded(); len(got) != 3 || !slices.Contains(got, 4) {
		t.Errorf("recorded are %v, want three, the newest among them", got)
	}
	for i := range theirs {
		p.ends[1].Abort(p.now, theirs[i])
		p.ends[0].Abort(p.now, ours[i])
	}
	for p.step() {
	}
	if m.used != 0 || p.ends[1].Charged() != 0 {
		t.Errorf("%d bytes are left charged, the table knows of %d", m.used, p.ends[1].Charged())
	}
}

// TestRecorder_withoutMemory: the connection goes on without.
func TestRecorder_withoutMemory(t *testing.T) {
	converse(t, recording, func(c *talk) {
		c.accepted(plain)
		c.memory.pressure = true
		c.send(seg{flags: ACK, seq: 1, ack: 1, len: 10})
		c.wantRead("the data", 1, 10)
		if _, ok := c.table.Record(c.conn); ok {
			c.Error("a recorder under memory pressure")
		}
		c.memory.pressure = false
		c.send(seg{flags: ACK, seq: 11, ack: 1, len: 10})
		c.wantSegments("in  A 11+10 ack 1", "out A 1+0 ack 21")
		c.discard()
	})
}

func TestList_pages(t *testing.T) {
	p := newPair(t)
	l, err := p.ends[1].Listen(ip.Addr{}, 80, ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var conns []*Conn
	for range 600 {
		if _, err := p.ends[0].Connect(p.now, flow4, Options{}); err != nil {
			t.Fatal(err)
		}
	}
	p.flush()
	p.drop = func(to int, pk *ip.Packet) bool { return to == 1 && pk.Payload[1]%4 == 0 && len(pk.Payload) == 32 } // some handshakes hang
	for p.now < 2e9 && p.step() {
		for s := p.ends[1].Accept(l); s != nil; s = p.ends[1].Accept(l) {
			conns = append(conns, s)
		}
	}
	closed := conns[0]
	p.ends[1].Close(p.now, closed)
	p.step()
	seen := map[Flow]State{}
	var list []Info
	more, calls := true, 0
	for at := (Cursor{}); more; calls++ {
		before := len(list)
		if list, at, more = p.ends[1].List(p.now, at, 64, list); len(list)-before > 64 {
			t.Fatal("a page has more than its slots")
		}
	}
	for _, i := range list {
		if _, twice := seen[i.Flow]; twice {
			t.Errorf("%v is listed twice", i.Flow)
		}
		seen[i.Flow] = i.State
		if c := p.ends[1].Lookup(i.Slot, i.Generation); i.Generation != 0 && (c == nil || c.flow != i.Flow) {
			t.Errorf("%v is not found by its name", i.Flow)
		}
	}
	n := p.ends[1].Len()
	if len(list) != n.Connections+n.HalfOpen+n.TimeWait || n.HalfOpen == 0 || calls < 5 {
		t.Errorf("%d listed in %d calls, there are %+v", len(list), calls, n)
	}
}

// A name is not used again by the next connection of the slot.
func TestLookup_namesAreNotReused(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		old := c.table.Info(c.now, c.conn)
		c.abort()
		c.discard()
		if c.table.Lookup(old.Slot, old.Generation) != nil {
			c.Error("a connection that is gone is found")
		}
		c.table.Unlisten(c.now, c.listener)
		c.flow.RemotePort++
		c.knowISS = false
		c.accepted(plain)
		again := c.table.Info(c.now, c.conn)
		if again.Slot != old.Slot || again.Generation == old.Generation {
			c.Errorf("slot %d generation %d, then slot %d generation %d: want the slot again under another name",
				old.Slot, old.Generation, again.Slot, again.Generation)
		}
		if c.table.Lookup(old.Slot, old.Generation) != nil || c.table.Lookup(again.Slot, again.Generation) != c.conn ||
			c.table.Lookup(1<<20, 1) != nil {
			c.Error("names are confused")
		}
	})
}

func TestRecorder_allocatesNothing(t *testing.T) {
	r := newRigOf(t, Config{MTU: 1500, Recorders: 1}, flow4, true, Options{})
	r.build(flow4, ACK|PSH, 1, 1, r.stamp(true), 1448)
	for range 100 {
		r.receive(t, 1448)
	}
	if _, ok := r.table.Record(r.conn); !ok {
		t.Fatal("nothing is recorded")
	}
	if a := testing.AllocsPerRun(200, func() { r.receive(t, 1448) }); a != 0 {
		t.Errorf("recording a segment allocates %v times", a)
	}
}

// BenchmarkRecorder is BenchmarkReceive and BenchmarkSend with and without a recorder: its cost is the difference.
func BenchmarkRecorder(b *testing.B) {
	for _, n := range sizes {
		for _, recorders := range []int{0, 1} {
			b.Run(fmt.Sprintf("receive/%d/recorders=%d", n, recorders), func(b *testing.B) {
				r := newRigOf(b, Config{MTU: 1500, Recorders: recorders}, flow4, true, Options{})
				r.build(flow4, ACK|PSH, 1, 1, r.stamp(true), n)
				r.packet.Offload.SegmentSize = 1448
				b.ReportAllocs()
				for b.Loop() {
					r.receive(b, n)
				}
			})
			b.Run(fmt.Sprintf("send/%d/recorders=%d", n, recorders), func(b *testing.B) {
				r := newRigOf(b, Config{MTU: 1500, Recorders: recorders}, flow4, true, Options{})
				r.build(flow4, ACK, 1, 1, r.stamp(true), 0)
				b.ReportAllocs()
				for b.Loop() {
					r.send(b, n)
				}
			})
		}
	}
}

// BenchmarkList is a page of 64 slots among 100,000 connections: so long a list holds a shard's lock.
func BenchmarkList(b *testing.B) {
	t := NewTable(Config{})
	for i := range uint32(100_000) {
		f := flow4
		f.Local[15], f.RemotePort, f.LocalPort = byte(i>>16), uint16(i), 80
		if _, err := t.newConn(Time(Second), &f, Options{}); err != nil {
			b.Fatal(err)
		}
	}
	var page []Info
	at, more := Cursor{}, true
	b.ReportAllocs()
	for b.Loop() {
		if page, at, more = t.List(Time(Second), at, 64, page[:0]); !more {
			at = Cursor{}
		}
	}
}
