package tcp

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"tcpd/ip"
)

// flatten copies an outgoing packet as a link would deliver it.
func flatten(o *ip.Outgoing) ([]byte, ip.Offload) { return appendPacket(nil, o), o.Offload }

func appendPacket(b []byte, o *ip.Outgoing) []byte {
	b = append(b, o.Header...)
	for _, p := range o.Payload {
		b = append(b, p...)
	}
	return b
}

// pair is two tables joined by a link with a delay.
type pair struct {
	t         testing.TB
	now       Time
	ends      [2]*Table
	wires     [2]fifo[flying] // packets towards the end of that index
	out       ip.Outgoing
	packet    ip.Packet // the one that arrives
	spare     [][]byte  // buffers of those that have
	delay     Duration
	drop      func(to int, p *ip.Packet) bool
	trace     bool
	options   Options // of both ends
	unchecked bool    // do not look at the invariants: for benchmarks
}

type flying struct {
	at Time
	b  []byte
	o  ip.Offload
}

func newPair(t testing.TB) *pair {
	p := &pair{t: t, now: 1e9, delay: 5 * Millisecond}
	for i := range p.ends {
		p.ends[i] = NewTable(Config{Secret: [16]byte{byte(i + 1)}, Seed: uint64(i)})
	}
	return p
}

func (p *pair) flush() {
	for i, e := range p.ends {
		for e.Poll(p.now, &p.out) {
			b, _ := last(&p.spare)
			p.wires[1-i].push(flying{p.now.Add(p.delay), appendPacket(b[:0], &p.out), p.out.Offload})
		}
	}
}

// step moves to the next thing that happens; false when nothing ever will.
func (p *pair) step() bool {
	p.flush()
	next := min(p.ends[0].Deadline(), p.ends[1].Deadline())
	for i := range p.wires {
		if f, ok := p.wires[i].front(); ok {
			next = min(next, f.at)
		}
	}
	if next == Never {
		return false
	}
	p.now = max(p.now, next)
	for i, e := range p.ends {
		e.Advance(p.now)
		for f, ok := p.wires[i].front(); ok && f.at <= p.now; f, ok = p.wires[i].front() {
			p.wires[i].pop()
			p.arrive(i, f)
			p.spare = append(p.spare, f.b)
		}
	}
	p.flush()
	for i, e := range p.ends {
		e.Events()
		if p.unchecked {
			continue
		}
		if err := e.Check(); err != nil {
			p.t.Fatalf("end %d: %v", i, err)
		}
	}
	return true
}

// arrive lets a packet arrive at end i.
func (p *pair) arrive(i int, f flying) {
	pk := &p.packet
	if d := pk.Parse(f.b, f.o); d != 0 {
		p.t.Fatalf("parse: %v", d)
	}
	if p.drop != nil && p.drop(i, pk) {
		return
	}
	d := p.ends[i].Arrive(p.now, pk)
	if p.trace {
		var s segment
		s.parse(pk)
		fmt.Printf("%8.3f to %d: %v seq %d ack %d len %d win %d sacks %v: %v\n", float64(p.now)/1e6, i, s.flags, s.seq, s.ack, len(s.payload), s.window, s.opts.sacks[:s.opts.nsacks], d)
	}
}

func (p *pair) open(f Flow) (*Conn, *Conn) {
	l, err := p.ends[1].Listen(ip.Addr{}, f.RemotePort, ListenOptions{Options: p.options})
	if err != nil {
		p.t.Fatal(err)
	}
	c, err := p.ends[0].Connect(p.now, f, p.options)
	if err != nil {
		p.t.Fatal(err)
	}
	for range 1000 {
		p.step()
		if s := p.ends[1].Accept(l); s != nil {
			return c, s
		}
	}
	p.t.Fatal("no connection")
	return nil, nil
}

var (
	flow4 = Flow{Local: ip.Addr4([4]byte{10, 0, 0, 1}), Remote: ip.Addr4([4]byte{10, 0, 0, 2}), RemotePort: 80}
	flow6 = Flow{Local: ip.Addr{0xfd, 15: 1}, Remote: ip.Addr{0xfd, 15: 2}, RemotePort: 80}
)

func TestPairTransfer(t *testing.T) {
	for _, f := range []Flow{flow4, flow6} {
		for loss := range 3 {
			t.Run(fmt.Sprint(f.Local, loss), func(t *testing.T) {
				p := newPair(t)
				r := random(42)
				p.drop = func(int, *ip.Packet) bool { return r.below(100) < int64(loss*5) }
				c, s := p.open(f)
				data := make([]byte, 3<<20)
				for i := range data {
					data[i] = byte(i * 7 >> 3)
				}
				var got []byte
				rest := data
				buf := make([]byte, 50000)
				closed := false
				for len(got) < len(data) || !closed {
					n, err := p.ends[0].Write(p.now, c, rest)
					if err != nil && err != ErrClosed {
						t.Fatal(err)
					}
					rest = rest[n:]
					if len(rest) == 0 && err == nil {
						p.ends[0].CloseWrite(p.now, c)
					}
					moved := p.step()
					n, err = p.ends[1].Read(p.now, s, buf)
					got = append(got, buf[:n]...)
					closed = err == io.EOF
					if !moved && n == 0 && !closed {
						t.Fatalf("stuck at %d: %+v\n%+v", len(got), p.ends[0].Info(p.now, c), p.ends[1].Info(p.now, s))
					}
				}
				if !bytes.Equal(got, data) {
					t.Fatal("bytes differ")
				}
				p.ends[1].Close(p.now, s)
				for c.State() != TimeWait {
					if !p.step() {
						t.Fatal("stuck in", c.State())
					}
				}
				p.ends[0].Close(p.now, c)
				t.Logf("virtual %v ms, %+v", (p.now-1e9)/1e6, p.ends[0].Counters())
				if most := [...]Duration{Second, 2 * Second, 30 * Second}[loss]; p.now.Sub(1e9) > most {
					t.Errorf("took longer than %d s with %d %% of super-packets lost", most/Second, loss*5)
				}
				for p.step() {
				}
				for i, e := range p.ends {
					if e.Charged() != 0 || e.Len().Connections != 0 {
						t.Errorf("end %d: %d bytes charged, %+v", i, e.Charged(), e.Len())
					}
				}
			})
		}
	}
}
