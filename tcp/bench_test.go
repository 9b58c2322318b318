package tcp

import (
	"encoding/binary"
	"fmt"
	"testing"

	"tcpd/ip"
)

// rig is a connection with a peer that costs nothing: its packets are built beforehand and changed in place.
type rig struct {
	table  *Table
	conn   *Conn
	now    Time
	packet ip.Packet
	out    ip.Outgoing
	buf    []byte
}

func newRig(tb testing.TB, f Flow, timestamps bool) *rig {
	tb.Helper()
	return newRigWith(tb, f, timestamps, Options{})
}

func newRigWith(tb testing.TB, f Flow, timestamps bool, opts Options) *rig {
	tb.Helper()
	return newRigOf(tb, Config{Secret: [16]byte{1}, MTU: 1500}, f, timestamps, opts)
}

func newRigOf(tb testing.TB, cfg Config, f Flow, timestamps bool, opts Options) *rig {
	tb.Helper()
	r := &rig{table: NewTable(cfg), now: Time(Second), buf: make([]byte, 1<<18)}
	id, err := r.table.Listen(ip.Addr{}, f.LocalPort, ListenOptions{Options: opts})
	if err != nil {
		tb.Fatal(err)
	}
	o := peerOptions{mss: 1460, scale: 10, sack: true, ts: timestamps}
	r.build(f, SYN, 0, 0, o.syn(1), 0)
	r.deliver(tb)
	h := r.table.halves.at(r.table.find(&f).index())
	r.build(f, ACK, 1, h.iss+1, r.stamp(timestamps), 0)
	r.deliver(tb)
	r.conn = r.table.Accept(id)
	if r.conn == nil {
		tb.Fatal("no connection")
	}
	return r
}

func (r *rig) stamp(on bool) []byte {
	var w optionWriter
	if on {
		w.timestamps(1, 0)
	}
	return append([]byte{}, w.bytes()...)
}

// build makes the peer's packet.
func (r *rig) build(f Flow, flags Flags, seq, ack Seq, opts []byte, payload int) {
	reverse := Flow{Local: f.Remote, Remote: f.Local, LocalPort: f.RemotePort, RemotePort: f.LocalPort}
	h := header{flow: &reverse, seq: seq, ack: ack, flags: flags, window: 65535, options: opts}
	b := make([]byte, 120+payload)
	n, network := h.put(b, payload)
	r.packet = ip.Packet{
		Src: f.Remote, Dst: f.Local, Protocol: ip.ProtocolTCP, Header: b[:network], Payload: b[network : n+payload],
		Offload: ip.Offload{Checksum: ip.ChecksumVouched},
	}
}

// put changes the numbers of the packet.
func (r *rig) put(seq, ack Seq) {
	b := r.packet.Payload
	b[4], b[5], b[6], b[7] = byte(seq>>24), byte(seq>>16), byte(seq>>8), byte(seq)
	b[8], b[9], b[10], b[11] = byte(ack>>24), byte(ack>>16), byte(ack>>8), byte(ack)
}

func (r *rig) deliver(tb testing.TB) {
	if d := r.table.Arrive(r.now, &r.packet); d != DropNone {
		tb.Fatal(d)
	}
	r.flush()
}

func (r *rig) flush() int {
	n := 0
	for r.table.Poll(r.now, &r.out) {
		n++
	}
	r.table.Events()
	return n
}

func (r *rig) step() { r.now = r.now.Add(10 * Microsecond); r.table.Advance(r.now) }

// receive takes one segment of n bytes and lets the application read it.
func (r *rig) receive(tb testing.TB, n int) {
	r.step()
	r.put(r.conn.rcv.nxt, r.conn.snd.nxt)
	r.deliver(tb)
	if k, err := r.table.Read(r.now, r.conn, r.buf); k != n || err != nil {
		tb.Fatalf("read %d, %v", k, err)
	}
	r.flush()
}

// send writes n bytes, lets them leave and be acknowledged.
func (r *rig) send(tb testing.TB, n int) {
	r.step()
	if k, err := r.table.Write(r.now, r.conn, r.buf[:n]); k != n || err != nil {
		tb.Fatalf("write %d, %v", k, err)
	}
	r.flush()
	for r.conn.snd.una != r.conn.snd.buf.end() {
		r.put(r.conn.rcv.nxt, r.conn.snd.nxt)
		r.deliver(tb)
	}
}

var sizes = []int{1448, 64 * 1024 / 1448 * 1448}

func TestEstablished_allocatesNothing(t *testing.T) {
	for i, f := range peerFlows {
		for _, n := range sizes {
			in := newRig(t, f, true)
			in.build(f, ACK|PSH, 1, 1, in.stamp(true), n)
			in.packet.Offload.SegmentSize = 1448
			for range 100 {
				in.receive(t, n)
			}
			if a := testing.AllocsPerRun(200, func() { in.receive(t, n) }); a != 0 {
				t.Errorf("family %d: receiving %d bytes allocates %v times", i, n, a)
			}
			for _, g := range []Congestion{Cubic, BBR} {
				out := newRigWith(t, f, true, Options{Congestion: g})
				out.build(f, ACK, 1, 1, out.stamp(true), 0)
				for range 100 {
					out.send(t, n)
				}
				if a := testing.AllocsPerRun(200, func() { out.send(t, n) }); a != 0 {
					t.Errorf("family %d, %v: sending %d bytes allocates %v times", i, g, n, a)
				}
			}
		}
	}
}

func BenchmarkReceive(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f := peerFlows[0]
			r := newRig(b, f, true)
			r.build(f, ACK|PSH, 1, 1, r.stamp(true), n)
			r.packet.Offload.SegmentSize = 1448
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				r.receive(b, n)
			}
		})
	}
}

func BenchmarkSend(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			benchmarkSend(b, n, Cubic)
		})
	}
}

// BenchmarkSendBBR is BenchmarkSend with BBR, on a path too short for pacing.
func BenchmarkSendBBR(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			benchmarkSend(b, n, BBR)
		})
	}
}

func benchmarkSend(b *testing.B, n int, g Congestion) {
	f := peerFlows[0]
	r := newRigWith(b, f, true, Options{Congestion: g})
	r.build(f, ACK, 1, 1, r.stamp(true), 0)
	for range 100 {
		r.send(b, n)
	}
	b.SetBytes(int64(n))
	b.ReportAllocs()
	for b.Loop() {
		r.send(b, n)
	}
}

// BenchmarkWorstSegments is the cost of the segments an attacker would choose, beside BenchmarkReceive/1448.
func BenchmarkWorstSegments(b *testing.B) {
	f := peerFlows[0]
	b.Run("byte beside byte", func(b *testing.B) {
		r := newRig(b, f, true)
		r.build(f, ACK, 1, 1, r.stamp(true), 1)
		i := 0
		for b.Loop() {
			i++
			r.put(r.conn.rcv.nxt+2+Seq(i*7919%30_000)*2, r.conn.snd.nxt)
			r.table.Arrive(r.now, &r.packet)
			r.flush()
		}
	})
	b.Run("segment beside segment", func(b *testing.B) {
		r := newRigWith(b, f, true, Options{ReceiveBuffer: 16 << 20})
		r.conn.rcv.limit, r.conn.rcv.adv = r.conn.rcv.max, r.conn.rcv.nxt.Add(15<<20)
		r.build(f, ACK, 1, 1, r.stamp(true), 1448)
		r.receive(b, 1448)
		i := 0
		for b.Loop() {
			i++
			r.put(r.conn.rcv.nxt.Add(1448+i*2477%5000*2896), r.conn.snd.nxt)
			r.table.Arrive(r.now, &r.packet)
			r.flush()
		}
		b.ReportMetric(float64(len(r.conn.ahead)), "ranges")
	})
	b.Run("unknown flow", func(b *testing.B) {
		r := newRig(b, f, true)
		g := f
		g.RemotePort++
		r.build(g, ACK, 1, 1, nil, 0)
		for b.Loop() {
			r.table.Arrive(r.now, &r.packet)
			r.flush()
		}
	})
}

// BenchmarkWorstAcks is the cost of acknowledgements that cut a flight of 8 MiB into as many pieces as they can: each brings one
// SACK block of one segment, or of one byte, somewhere in it. What it makes leave again is part of the cost.
func BenchmarkWorstAcks(b *testing.B) {
	const holes = 2880
	for _, size := range []int{1448, 1} {
		b.Run(fmt.Sprintf("a block of %d", size), func(b *testing.B) {
			r := newRigWith(b, peerFlows[0], true, Options{SendBuffer: 4 * holes * 1448})
			var w optionWriter
			w.timestamps(1, 0)
			w.sack([]span{{1, 2}})
			r.build(peerFlows[0], ACK, 1, 1, w.bytes(), 0)
			at := len(r.packet.Payload) - 8
			pieces := 0
			for i := 0; b.Loop(); i++ {
				if i%holes == 0 {
					b.StopTimer()
					r.refill(b, 2*holes*1448)
					b.StartTimer()
				}
				start := r.conn.snd.una.Add((i*1009%holes*2 + 1) * 1448)
				binary.BigEndian.PutUint32(r.packet.Payload[at:], uint32(start))
				binary.BigEndian.PutUint32(r.packet.Payload[at+4:], uint32(start.Add(size)))
				r.now = r.now.Add(10 * Microsecond)
				r.put(r.conn.rcv.nxt, r.conn.snd.una)
				r.table.Arrive(r.now, &r.packet)
				r.flush()
				pieces = max(pieces, int(r.conn.flight.n))
			}
			b.ReportMetric(float64(pieces), "pieces")
		})
	}
}

// refill has all acknowledged that is under way, and n more bytes on their way.
func (r *rig) refill(tb testing.TB, n int) {
	tb.Helper()
	binary.BigEndian.PutUint32(r.packet.Payload[len(r.packet.Payload)-4:], 0) // an empty block
	for r.conn.snd.una != r.conn.snd.nxt {
		r.step()
		r.put(r.conn.rcv.nxt, r.conn.snd.nxt)
		r.deliver(tb)
	}
	r.conn.cc.set(uint32(2 * n))
	for n > 0 {
		k, err := r.table.Write(r.now, r.conn, r.buf[:min(len(r.buf), n)])
		if k == 0 {
			tb.Fatal(err)
		}
		n -= k
		r.flush()
		r.step()
	}
}

// life is a connection from SYN to TIME-WAIT, both ends, with a request and an answer.
type life struct {
	*pair
	listener             ListenerID
	request, answer, buf []byte
}

func newLife(tb testing.TB) *life {
	p := newPair(tb)
	p.unchecked = true
	p.delay = 10 * Microsecond
	l, err := p.ends[1].Listen(ip.Addr{}, flow4.RemotePort, ListenOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	return &life{p, l, make([]byte, 100), make([]byte, 1000), make([]byte, 2000)}
}

func (p *life) run() {
	c, err := p.ends[0].Connect(p.now, flow4, Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	var s *Conn
	for ; s == nil; s = p.ends[1].Accept(p.listener) {
		p.step()
	}
	p.ends[0].Write(p.now, c, p.request)
	for n := 0; n == 0; n, _ = p.ends[1].Read(p.now, s, p.buf) {
		p.step()
	}
	p.ends[1].Write(p.now, s, p.answer)
	p.ends[1].Close(p.now, s)
	for err = nil; err == nil; _, err = p.ends[0].Read(p.now, c, p.buf) {
		p.step()
	}
	p.ends[0].Close(p.now, c)
	for p.ends[0].Len().Connections > 0 {
		p.step()
	}
	if p.ends[1].Len().TimeWait > 10_000 {
		p.now = p.now.Add(2 * Minute)
	}
}

func BenchmarkLife(b *testing.B) {
	p := newLife(b)
	b.ReportAllocs()
	for b.Loop() {
		p.run()
	}
}

// Records, their numbers, pages and timers come from slabs and pools: once those are there, a connection comes and goes without
// an allocation.
func TestLife_allocatesNothing(t *testing.T) {
	p := newLife(t)
	for range 10_100 { // until TIME-WAIT has as many as it ever has here
		p.run()
	}
	if a := testing.AllocsPerRun(1000, p.run); a != 0 {
		t.Errorf("a connection from SYN to TIME-WAIT allocates %v times", a)
	}
}
