package world

import (
	"encoding/binary"
	"fmt"
	"io"

	"tcpd/ip"
	"tcpd/tcp"
)

// Limits of a run.
const (
	maxSteps  = 3_000_000 // unless the scenario has other limits
	lookEvery = tcp.Minute
	// silence is how long after the last application a table may take to forget everything: an orphan's retransmissions,
	// then TIME-WAIT.
	silence = 40 * tcp.Minute
	// chatter is how many packets a connection may cost after the last application has gone.
	chatter = 1000
)

// world is one run.
type world struct {
	plan    plan
	mild    bool
	dice    dice
	more    dice // of what came later than the first generation of plans
	trace   io.Writer
	now     tcp.Time
	agenda  agenda
	ends    [2]*end
	links   [2]*direction // by the end they lead to
	pairs   []*pair
	apps    []*app
	opened  map[tcp.Flow]*pair // by the flow as the opener sees it
	byPorts map[portsKey]*pair
	packets []packet
	spare   []int32
	step    int
	steps   int      // at most
	every   int      // the costly invariants, each so many steps
	closing tcp.Time // when the last application had gone
	sentBy  uint64   // packets sent by then

	scratch []byte
	base    map[string]uint32 // for the trace: first sequence numbers
}

func newWorld(p plan, trace io.Writer) *world {
	w := &world{
		plan: p, mild: p.mild(), dice: newDice(p.seed, 2), more: newDice(p.seed, 17), trace: trace, now: p.origin, opened: make(map[tcp.Flow]*pair),
		byPorts: make(map[portsKey]*pair),
		scratch: make([]byte, maxCall), steps: maxSteps, every: checkEvery,
	}
	addr := p.addresses()
	for i := range w.ends {
		e := &end{
			w: w, index: i, plan: p.ends[i], mtu: p.ends[i].mtu, addr: addr[i],
			undecided: make(map[tcp.AttemptID]tcp.Flow), forgot: make(map[tcp.Flow]int),
		}
		e.memory = budget{limit: e.plan.memory, fickle: e.plan.fickle, chaos: newDice(p.seed, uint64(15+i))}
		e.table = tcp.NewTable(p.config(i, &e.memory))
		w.ends[i] = e
		w.links[i] = &direction{w: w, plan: p.links[i], to: i, dice: newDice(p.seed, uint64(3+i)), chaos: newDice(p.seed, uint64(13+i))}
	}
	for i := range p.conns {
		w.addPair(i)
	}
	return w
}

func (p *plan) config(end int, memory *budget) tcp.Config {
	e := &p.ends[end]
	c := tcp.Config{
		Seed: mix(p.seed + uint64(end)), MTU: e.mtu, Connections: e.connections, HalfOpen: e.halfOpen, TimeWait: e.timeWait,
		Memory: memory, Recorders: 2, // fewer than connections: they change hands
		Longest: func(ip.Addr) int { return e.longest },
	}
	binary.LittleEndian.PutUint64(c.Secret[:], mix(p.seed^uint64(end+1)<<56))
	return c
}

func (w *world) addPair(i int) {
	p := &pair{w: w, index: i, plan: &w.plan.conns[i], progress: w.now}
	for side := range p.apps {
		a := &app{w: w, index: len(w.apps), pair: p, side: side, plan: p.plan.apps[side], end: p.plan.opener}
		if side == 1 {
			a.end = 1 - p.plan.opener
		}
		a.key = mix(w.plan.seed*64 + uint64(i)*2 + uint64(side))
		p.apps[side] = a
		w.apps = append(w.apps, a)
	}
	if p.plan.apps[1].echo {
		p.apps[1].key = p.apps[0].key
	}
	p.apps[0].expect, p.apps[1].expect = p.apps[1].key, p.apps[0].key
	w.pairs = append(w.pairs, p)
	w.agenda.add(item{at: w.now.Add(p.plan.at), kind: itemOpen, index: int32(i)})
}

// violation is what an oracle has to say.
type violation string

func (w *world) failf(format string, args ...any) { panic(violation(fmt.Sprintf(format, args...))) }

// run runs the world to its end. It panics when an oracle objects.
func (w *world) run() {
	w.start()
	for w.next() {
	}
	w.checkEnd()
}

func (w *world) start() {
	for i, e := range w.ends {
		e.listen()
		if a := e.plan.absent; a != (interval{}) {
			w.agenda.add(item{at: a.from, kind: itemUnlisten, index: int32(i)})
			w.agenda.add(item{at: a.to, kind: itemListen, index: int32(i)})
		}
	}
	for i, e := range w.ends {
		if e.plan.mtuAt != 0 {
			w.agenda.add(item{at: e.plan.mtuAt, kind: itemMTU, index: int32(i)})
		}
	}
	w.agenda.add(item{at: w.now.Add(lookEvery), kind: itemLook})
}

// next does everything that is due at the next instant, and returns false when nothing will ever happen again.
func (w *world) next() bool {
	at := w.agenda.next()
	for _, e := range w.ends {
		at = min(at, e.due())
	}
	if at == tcp.Never {
		return false
	}
	w.now = max(w.now, at)
	for _, e := range w.ends {
		if e.due() <= w.now {
			e.advance()
		}
	}
	for w.agenda.next() <= w.now {
		w.do(w.agenda.take())
		if w.step++; w.step > w.steps {
			w.failf("more than %d events", w.steps)
		}
	}
	for _, e := range w.ends {
		e.flush()
	}
	for _, e := range w.ends {
		e.settle()
	}
	w.step++
	w.check()
	return true
}

// do does one thing, unless it has to wait until its end wakes.
func (w *world) do(x item) {
	if i := w.place(x); i >= 0 {
		if at := w.ends[i].wakes(w.now); at > w.now {
			x.at = at
			w.agenda.add(x)
			return
		}
	}
	switch x.kind {
	case itemPacket:
		w.ends[w.packets[x.index].to].receive(x.index)
	case itemTurn:
		a := w.apps[x.index]
		a.scheduled = false
		a.turn()
		a.watch(byCall)
		w.ends[a.end].settle()
	case itemOpen:
		w.open(w.pairs[x.index])
	case itemAccept:
		w.ends[x.index].accept()
	case itemDecide:
		w.ends[x.index].decide(tcp.AttemptID(x.datum))
	case itemUnlisten:
		w.ends[x.index].unlisten()
	case itemListen:
		w.ends[x.index].listen()
	case itemMTU:
		w.ends[x.index].changeMTU()
	case itemLook:
		w.look()
	}
}

// place returns the end where something happens, -1 when that is nowhere.
func (w *world) place(x item) int {
	switch x.kind {
	case itemPacket:
		return w.packets[x.index].to
	case itemTurn:
		return w.apps[x.index].end
	case itemOpen:
		return w.pairs[x.index].plan.opener
	case itemLook:
		return -1
	}
	return int(x.index)
}

// open opens a connection.
func (w *world) open(p *pair) {
	p.opened = true
	p.moved()
	e, peer := w.ends[p.plan.opener], w.ends[1-p.plan.opener]
	f := tcp.Flow{Local: e.addr, Remote: peer.addr, LocalPort: p.plan.port, RemotePort: openPort}
	if p.plan.closedPort {
		f.RemotePort, p.refused = closedPort, true
	}
	if p.plan.simultaneous {
		f.RemotePort = f.LocalPort + 1000
	} else if f.LocalPort != 0 && !w.reusable(f) {
		f.LocalPort = 0
	}
	if !w.connect(p.apps[0], f) {
		p.apps[1].over = true
		return
	}
	p.flow = p.apps[0].conn.Flow()
	if !w.reusable(p.flow) {
		// By chance the port of a connection that is still to be accepted.
		p.refused = true
		p.apps[0].abort()
		p.apps[1].over = true
		return
	}
	w.opened[p.flow] = p
	w.tapped(p)
	if p.plan.simultaneous {
		w.connect(p.apps[1], reverse(p.flow))
	}
}

// reusable: the opener has given up the last connection of this flow. The other end may still have it, and is told apart
// from the new one because an application has accepted it already.
func (w *world) reusable(f tcp.Flow) bool {
	old := w.opened[f]
	return old == nil || old.apps[0].over && old.apps[1].conn != nil
}

// tapped lets the taps of a connection see its packets. Where a flow is used again, old packets and new ones cannot be told
// apart, and nothing is judged.
func (w *world) tapped(p *pair) {
	key := portsKey{p.plan.opener, p.flow.LocalPort, p.flow.RemotePort}
	if old := w.byPorts[key]; old != nil {
		old.shared, p.shared = true, true
	}
	w.byPorts[key] = p
}

func (w *world) connect(a *app, f tcp.Flow) bool {
	e := w.ends[a.end]
	c, err := e.table.Connect(e.clock(), f, a.pair.plan.options)
	if err != nil {
		limited := e.memory.scarce() || e.plan.connections > 0
		if !limited && !(err == tcp.ErrInUse && f.LocalPort != 0) {
			w.failf("%v: Connect: %v", a, err)
		}
		w.note(a, "cannot connect: %v", err)
		a.over, a.err, a.abortive = true, err, true
		a.pair.refused = true
		return false
	}
	a.conn, a.state = c, c.State()
	e.place(a)
	w.note(a, "connects %v, %s", c.Flow(), a.plan.end)
	a.ready(0)
	return true
}

// accepted hands a connection to the application that it is meant for.
func (w *world) accepted(e *end, c *tcp.Conn) {
	p := w.opened[reverse(c.Flow())]
	if p == nil || p.plan.simultaneous {
		w.failf("end %d accepts %v, which nobody opened", e.index, c.Flow())
	}
	a := p.apps[1]
	if a.conn != nil {
		w.again(e, a, c)
		return
	}
	a.conn, a.state = c, c.State()
	e.place(a)
	w.note(a, "accepted %v, %s", c.Flow(), a.plan.end)
	p.moved()
	a.ready(w.dice.upTo(e.plan.wake))
}

// again: a connection is accepted that was accepted before. An old segment with a SYN cookie, which leaves no record behind,
// can do that while the cookie is worth something, and so can an old SYN with data and a cookie of Fast Open (RFC 7413,
// section 2.1), and an old acknowledgement after an old SYN when both incarnations have the same number: RFC 9293, section 3.4.1,
// wants a clock that moves between them, and a real one does. The application has no use for it.
func (w *world) again(e *end, a *app, c *tcp.Conn) {
	if e.table.Counters().CookiesAccepted == 0 && !w.plan.fastOpen && !a.pair.twins {
		w.failf("%v: accepted twice", a)
	}
	w.note(a, "is accepted once more")
	a.pair.shared = true
	e.table.Abort(e.clock(), c)
}

// look looks after everybody, every minute, until the last application has gone.
func (w *world) look() {
	done := true
	for _, p := range w.pairs {
		p.checkMoves()
		done = done && p.over()
	}
	if !done {
		w.agenda.add(item{at: w.now.Add(lookEvery), kind: itemLook})
		return
	}
	if w.closing == 0 {
		w.closing = w.now
		w.sentBy = w.sent()
		for _, e := range w.ends {
			e.unlisten()
		}
	}
}

func (w *world) sent() uint64 {
	return w.ends[0].table.Counters().SegmentsOut + w.ends[1].table.Counters().SegmentsOut
}

func (w *world) newPacket() (int32, *packet) {
	if n := len(w.spare); n > 0 {
		i := w.spare[n-1]
		w.spare = w.spare[:n-1]
		p := &w.packets[i]
		*p = packet{b: p.b[:0]}
		return i, p
	}
	w.packets = append(w.packets, packet{})
	return int32(len(w.packets) - 1), &w.packets[len(w.packets)-1]
}
