package tcp

import (
	"encoding/binary"
	"testing"

	"tcpd/ip"
)

// FuzzSegment: any bytes as a TCP segment, to a table that listens.
func FuzzSegment(f *testing.F) {
	var b [60]byte
	flow := Flow{Local: peerFlows[0].Remote, Remote: peerFlows[0].Local, LocalPort: 40000, RemotePort: 80}
	n, network := (&header{flow: &flow, seq: 5, flags: SYN, window: 1000, options: plain.syn(0)}).put(b[:], 0)
	f.Add(append([]byte{}, b[network:n]...), false)
	f.Add(append([]byte{}, b[network:n-6]...), true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, raw []byte, six bool) {
		c := newTalk(t, Config{}, peerFlows[map[bool]int{true: 1}[six]])
		c.quiet = true
		c.listen(ListenOptions{})
		for range 2 {
			p := ip.Packet{
				Src: c.flow.Remote, Dst: c.flow.Local, Protocol: ip.ProtocolTCP, Payload: raw,
				Offload: ip.Offload{Checksum: ip.ChecksumVouched},
			}
			c.table.Arrive(c.now, &p)
			c.settle()
		}
	})
}

// symbols turns bytes into numbers; when there are no more, into zeros.
type symbols []byte

func (s *symbols) next() int {
	if len(*s) == 0 {
		return 0
	}
	v := int((*s)[0])
	*s = (*s)[1:]
	return v
}

// distances are how far a number lies from what would be right.
var distances = []int{0, 0, 0, 1, -1, 500, -500, 1000, -1000, 65535, -65535, 70_000, 1 << 30, 1<<31 - 1, -1 << 31}

func (s *symbols) distance() int { return distances[s.next()%len(distances)] }

// FuzzStates: up to 64 events whose numbers are relative to the live state of a connection; every invariant is checked after
// each, and at the end everything goes away.
func FuzzStates(f *testing.F) {
	seed := random(1)
	for i := range 60 {
		f.Add(randomBytes(&seed, 40+8*i))
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		s := symbols(program)
		c := newTalk(t, Config{HalfOpen: 4, TimeWait: 3}, peerFlows[s.next()&1])
		c.quiet = true
		start := s.next()
		c.ts = start&16 != 0
		o := peerOptions{mss: 1 + start*4, scale: start%16 - 1, sack: start&32 != 0, ts: c.ts}
		if start&64 == 0 {
			c.listen(ListenOptions{Backlog: 2, Hold: start&128 != 0, Options: Options{FastOpen: FastOpenServer}, FastOpenPending: 2})
		}
		for range 64 {
			if len(s) == 0 {
				break
			}
			c.symbolic(&s, &o)
			c.discard()
			c.events = nil
		}
		c.finish()
	})
}

// symbolic lets one event happen.
func (c *talk) symbolic(s *symbols, o *peerOptions) {
	switch op := s.next(); op % 16 {
	case 0:
		opts := o.syn(c.peerClock())
		if op&16 != 0 {
			k := c.table.secret.fastOpenCookie(&c.flow, int64(c.now)/int64(fastOpenEpoch)-int64(op>>5%3))
			opts = append(opts, append([]byte{optNop, optNop, optFastOpen, 2 + fastOpenCookieLen}, k[:]...)...)
		}
		c.send(seg{flags: SYN, seq: s.distance(), len: op >> 5 * 50, opts: opts})
	case 1:
		if c.conn == nil {
			c.conn, _ = c.table.Connect(c.now, c.flow, Options{KeepAlive: KeepAlive{Enabled: op&16 != 0}, ReceiveBuffer: 1 << (op >> 4 % 8 * 3), MTUProbing: MTUProbing(op >> 4 % 3), FastOpen: FastOpenClient})
		}
		c.settle()
	case 2:
		c.advance(Duration(1+s.next()) << (op >> 4 * 2 % 16 * 2))
	case 3, 4:
		c.application(s, op>>4)
	case 5:
		c.memory.refuseAt, c.memory.refuseCount = c.memory.charges+1, s.next()%4
	case 6:
		kinds := []ip.ICMPKind{ip.PacketTooBig, ip.PortUnreachable, ip.HostUnreachable, ip.TimeExceeded}
		c.unreachable(kinds[op>>4%4], c.una()+s.distance(), s.next()*8)
	case 7:
		c.now = c.now.Add(Duration(s.next()) * Second) // nobody ran the timers
	default:
		c.symbolicSegment(s, op>>4)
	}
}

// una and right are where the next acknowledgement and the next segment of an honest peer would be.
func (c *talk) una() int {
	if c.conn != nil {
		return c.conn.snd.una.Sub(c.iss)
	}
	return 1
}

func (c *talk) right() (seq, ack int) {
	if c.conn != nil && c.conn.state != SynSent {
		return c.conn.rcv.nxt.Sub(c.peerISS), c.conn.snd.nxt.Sub(c.iss)
	}
	return 1, 1
}

var fuzzFlags = []Flags{ACK, ACK, ACK, ACK | PSH, ACK | FIN, ACK | FIN, RST, RST | ACK, SYN, SYN | ACK, FIN, 0, ACK | URG, ACK | ECE | CWR, 255, SYN | FIN}

func (c *talk) symbolicSegment(s *symbols, variant int) {
	seq, ack := c.right()
	x := seg{flags: fuzzFlags[variant], seq: seq + s.distance(), ack: ack + s.distance(), len: s.next() * 9, win: s.next() * 257}
	switch s.next() % 6 {
	case 0:
		x.win = closed
	case 1:
		una := c.una()
		x.sacks = []span{{Seq(una + s.distance()), Seq(una + s.distance())}, {Seq(una + s.next()*8), Seq(una + s.next()*16)}}
	case 2:
		x.ts = &[2]uint32{c.peerClock() + uint32(s.distance()), uint32(s.next())}
	case 3:
		x.unit = 1 + s.next()
	case 4:
		x.opts = binary.BigEndian.AppendUint32(nil, uint32(s.next())<<16|uint32(s.next())<<8|uint32(s.next()))
	}
	c.arrive(x)
	if variant&1 == 0 {
		c.settle()
	}
}

// application lets the application do something.
func (c *talk) application(s *symbols, call int) {
	t := c.table
	if c.listener == 0 && len(t.listeners) > 0 && t.listeners[0].live {
		if a, ok := t.NextAttempt(0); ok {
			switch call % 3 {
			case 0:
				t.AcceptAttempt(c.now, a.ID)
			case 1:
				t.RejectAttempt(c.now, a.ID)
			case 2:
				t.DropAttempt(a.ID)
			}
		}
		if c.conn == nil {
			c.conn = t.Accept(0)
		}
	}
	if c.conn == nil {
		c.settle()
		return
	}
	switch call {
	case 0, 1, 2, 3:
		t.Write(c.now, c.conn, make([]byte, s.next()*100))
	case 4, 5, 6:
		t.Read(c.now, c.conn, make([]byte, s.next()*100))
	case 7, 8:
		t.CloseWrite(c.now, c.conn)
	case 9:
		t.Close(c.now, c.conn)
		c.conn = nil
	case 10:
		t.Abort(c.now, c.conn)
		c.conn = nil
	case 11:
		k := s.next()
		t.SetNoDelay(c.now, c.conn, k&1 != 0)
		t.SetCork(c.now, c.conn, k&2 != 0)
	case 12:
		t.SetKeepAlive(c.now, c.conn, KeepAlive{Enabled: s.next()&1 != 0})
	case 13:
		t.SetMTU(1280 + s.next()*4)
	case 14:
		t.Info(c.now, c.conn)
		t.SetUserTimeout(c.now, c.conn, Duration(s.next())*Second)
	case 15:
		if len(t.listeners) > 0 && t.listeners[0].live && s.next() == 0 {
			t.Unlisten(c.now, 0)
		}
	}
	c.settle()
}

// finish ends everything; nothing may be left.
func (c *talk) finish() {
	c.memory.refuseCount = 0
	t := c.table
	if c.conn != nil {
		t.Close(c.now, c.conn)
	}
	if len(t.listeners) > 0 && t.listeners[0].live {
		t.Unlisten(c.now, 0)
	}
	for range 4 {
		c.settle()
		c.discard()
		c.advance(Hour)
	}
	for _, e := range c.events { // connections of attempts that nobody took
		if e.Kind == EventAttemptDone && e.Conn != nil && e.Conn.live && !e.Conn.released {
			t.Abort(c.now, e.Conn)
		}
	}
	c.settle()
	if n := t.Len(); n.Connections+n.HalfOpen+n.TimeWait != 0 && !c.heldElsewhere() || n.TimeWait != 0 {
		c.Fatalf("left over: %+v", n)
	}
}

// heldElsewhere reports whether a connection is left whose EventAttemptDone was thrown away by the fuzzer.
func (c *talk) heldElsewhere() bool {
	for i := range c.table.conns.next {
		if conn := c.table.conn(i); conn.live && !conn.released && !conn.pending {
			return true
		}
	}
	return false
}
