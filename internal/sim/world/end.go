package world

import (
	"tcpd/ip"
	"tcpd/tcp"
)

// Ports of the ends.
const (
	openPort   = 80
	closedPort = 81
)

// end is one end of the link: a table with what a runtime would do for it.
type end struct {
	w         *world
	index     int
	plan      endPlan
	addr      ip.Addr
	mtu       int
	table     *tcp.Table
	memory    budget
	listener  tcp.ListenerID
	listening bool
	accepting bool // itemAccept is on the agenda
	apps      []*app
	lateness  tcp.Duration
	parsed    ip.Packet
	merging   int32 // the packet that may grow, plus one; 0: none
	unit      int
	undecided map[tcp.AttemptID]tcp.Flow
	forgot    map[tcp.Flow]int // attempts of a flow
	arrived   uint64
	early     uint64 // SYNs that met TIME-WAIT, and nothing in them told that they were new
	ipDrops   uint64
	icmpIn    uint64
}

func (e *end) listen() {
	id, err := e.table.Listen(pick(e.w.dice, ip.Addr{}, e.addr), openPort, tcp.ListenOptions{
		Options: e.plan.options, Backlog: e.plan.backlog, Hold: e.plan.hold,
	})
	if err != nil {
		e.w.failf("end %d cannot listen: %v", e.index, err)
	}
	e.listener, e.listening = id, true
}

func (e *end) unlisten() {
	if e.listening {
		e.table.Unlisten(e.clock(), e.listener)
		e.listening = false
	}
}

// due returns when timers run next.
func (e *end) due() tcp.Time {
	d := e.table.Deadline()
	if d == tcp.Never {
		return d
	}
	return e.wakes(max(e.w.plan.clocks[e.index].reaches(d).Add(e.lateness), e.w.now))
}

func (e *end) advance() {
	e.table.Advance(e.clock())
	e.lateness = e.w.dice.upTo(e.plan.late)
	for _, a := range e.apps {
		if a != nil {
			a.watch(byTimer)
		}
	}
}

// changeMTU is the link of this end becoming narrower or wider.
func (e *end) changeMTU() {
	e.mtu = e.plan.mtuTo
	e.table.SetMTU(e.mtu)
}

// receive takes packet i from the link. With merging it is kept until it is known that the next does not join it.
func (e *end) receive(i int32) {
	p := &e.w.packets[i]
	if e.w.plan.form.merges() && p.plain() {
		if e.join(p) {
			e.w.spare = append(e.w.spare, i)
			return
		}
		e.flush()
		if e.unit = len(look(p.b).payload); e.unit > 0 {
			e.merging = i + 1
			return
		}
	}
	e.flush()
	e.deliver(i)
}

// join adds a packet to the one that may grow.
func (e *end) join(p *packet) (joined bool) {
	if e.merging == 0 {
		return false
	}
	m := &e.w.packets[e.merging-1]
	if m.b, joined = merge(m.b, p.b, e.unit); joined {
		m.offload = ip.Offload{Checksum: ip.ChecksumPartial, SegmentSize: uint16(e.unit)}
	}
	return joined
}

// flush delivers what waits to be merged.
func (e *end) flush() {
	if i := e.merging; i != 0 {
		e.merging = 0
		e.deliver(i - 1)
	}
}

// deliver does what the runtime does with a packet. A corrupted one must not get through.
func (e *end) deliver(i int32) {
	p := &e.w.packets[i]
	defer func() { e.w.spare = append(e.w.spare, i) }()
	if d := e.parsed.Parse(p.b, p.offload); d != ip.DropNone {
		e.ipDrops++
		if !p.corrupted {
			e.w.failf("end %d: a good packet is dropped: %v", e.index, d)
		}
		return
	}
	if p.icmp {
		e.control(p)
		return
	}
	if e.parsed.Dst != e.addr || e.parsed.Protocol != ip.ProtocolTCP {
		if !p.corrupted {
			e.w.failf("end %d: packet to %v, protocol %d", e.index, e.parsed.Dst, e.parsed.Protocol)
		}
		e.ipDrops++
		return
	}
	e.arrived++
	var a *app
	if !p.corrupted {
		a = e.w.arrives(e, p.b, p.forged)
	}
	before := e.table.Counters()
	d := e.table.Arrive(e.clock(), &e.parsed)
	if a != nil {
		f := look(p.b).flags()
		if f == tcp.SYN && d == tcp.DropTimeWait {
			e.early++
		}
		e.w.begins(e, a, f, d, &before)
		t := &a.pair.taps[a.side]
		t.reset = t.reset || d == tcp.DropNone && f&tcp.RST != 0
		a.watch(byArrival)
	}
	if p.forged && d == tcp.DropNone {
		e.w.deceived(e, p.b)
	}
	if e.w.trace != nil {
		e.w.traceArrival(e.index, p, d)
	}
	if p.corrupted && d != tcp.DropChecksum && d != tcp.DropHeaderShort {
		e.w.failf("end %d: a corrupted packet gets through: %v", e.index, d)
	}
	if !p.corrupted && (d == tcp.DropChecksum || d == tcp.DropHeaderShort) {
		e.w.failf("end %d: a good segment is dropped: %v", e.index, d)
	}
}

// settle does what follows events and calls: segments leave, applications get their news.
func (e *end) settle() {
	var out ip.Outgoing
	for n := 0; e.table.Poll(e.clock(), &out); n++ {
		e.w.leaves(e, &out)
		e.w.links[1-e.index].send(&out)
		if n > 100_000 {
			e.w.failf("end %d: Poll does not come to an end", e.index)
		}
	}
	for _, v := range e.table.Events() {
		e.news(v)
	}
}

func (e *end) news(v tcp.Event) {
	switch v.Kind {
	case tcp.EventAcceptable, tcp.EventAttempt:
		if !e.accepting {
			e.accepting = true
			e.w.agenda.add(item{at: e.w.now.Add(e.w.dice.upTo(e.plan.accept)), kind: itemAccept, index: int32(e.index)})
		}
	case tcp.EventAttemptDone:
		if v.Conn != nil {
			e.w.accepted(e, v.Conn)
		}
	default:
		if s := v.Conn.Slot(); int(s) < len(e.apps) && e.apps[s] != nil && e.apps[s].conn == v.Conn {
			e.apps[s].ready(e.w.dice.upTo(e.plan.wake))
		}
	}
}

// accept takes everything that waits at the listener.
func (e *end) accept() {
	e.accepting = false
	if !e.listening {
		return
	}
	if !e.plan.hold {
		for c := e.table.Accept(e.listener); c != nil; c = e.table.Accept(e.listener) {
			e.w.accepted(e, c)
		}
		return
	}
	for {
		a, ok := e.table.NextAttempt(e.listener)
		if !ok {
			return
		}
		e.w.agenda.add(item{
			at: e.w.now.Add(e.w.dice.upTo(e.plan.accept)), kind: itemDecide, index: int32(e.index), datum: uint64(a.ID),
		})
		e.undecided[a.ID] = a.Flow
	}
}

// mostForgotten is how many attempts of a flow are forgotten at most: a client gives up after seven, and it is nobody's fault.
const mostForgotten = 3

// decide answers an attempt: most are accepted, some refused, some forgotten.
func (e *end) decide(id tcp.AttemptID) {
	flow := e.undecided[id]
	switch n := e.w.dice.IntN(10); {
	case n > 1, n == 0 && e.forgot[flow] == mostForgotten:
		e.table.AcceptAttempt(e.clock(), id)
	case n == 1:
		if p := e.w.opened[reverse(flow)]; p != nil {
			p.refused = true
		}
		e.table.RejectAttempt(e.clock(), id)
	default:
		e.forgot[flow]++
		e.table.DropAttempt(id)
	}
}

// place makes slot-indexed room for an application.
func (e *end) place(a *app) {
	s := int(a.conn.Slot())
	for len(e.apps) <= s {
		e.apps = append(e.apps, nil)
	}
	e.apps[s] = a
}

func reverse(f tcp.Flow) tcp.Flow {
	return tcp.Flow{Local: f.Remote, Remote: f.Local, LocalPort: f.RemotePort, RemotePort: f.LocalPort}
}
