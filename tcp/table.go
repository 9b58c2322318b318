package tcp

import (
	"slices"

	"tcpd/ip"
)

// Table holds the connections, half-open connections, TIME-WAIT records and listeners of one shard, and does all the
// protocol's work. It is deterministic: the same calls give the same segments. One goroutine at a time may call it.
//
// Methods are events in (Arrive, Advance, Unreachable, SetMTU), application calls, and polls out (Poll, Deadline, Events).
// After events and calls the runtime polls until Poll returns false.
type Table struct {
	budget   Budget // nil: the memory does not tell
	cfg      Config
	secret   secret
	random   random
	pool     pool
	flows    flowTable
	conns    slab[Conn]
	busies   slab[busy]
	idle     busy // of every connection that has none of its own; nothing is written here
	sets     optionSets
	bbrs     slab[bbr]
	growths  slab[growth]
	fresh    growth // of every connection that has none of its own; nothing is written here
	halves   slab[half]
	waits    timeWaits
	paths    pathCache
	wheel    wheel    // of connections
	due      []uint32 // connections whose time has come, from Overdue to Advance
	nConns   int
	nBBR     int
	nHalves  int
	nGrowths int // those charged
	nBusies  int // those charged

	listBytes int // charged for long lists of connections under way

	halfWheel wheel
	listeners []listener
	bound     map[endpoint]ListenerID

	turns    fifo[turn] // who may send
	turn     turnBytes
	replies  fifo[reply] // segments that belong to no record
	cookies  fifo[half]  // SYN-ACKs that leave none
	events   []Event
	counters Counters

	resets      buckets // of strays
	fastServers fastServers
	searches    slab[mtuSearch]

	reclaimer reclaimer

	standing bool // a queue stands in front of us; see SetStanding

	seg     segment // scratch of Arrive
	arrived Time    // when the segment was read
	acked   acknowledged
	options optionWriter
	head    [ip.MaxHeaderLen + maxHeaderLen]byte
	payload [][]byte

	recorders   recorders
	generations []uint32 // of each slot, how many connections have had it
}

// ref is what a flow stands for: a kind and the number of the record; 0 for nothing.
type ref uint32

type refKind uint32

const (
	refConn refKind = iota + 1
	refHalf
	refTimeWait
)

const refKindShift = 30

func makeRef(k refKind, i uint32) ref { return ref(uint32(k)<<refKindShift | i) }

func (r ref) kind() refKind { return refKind(r >> refKindShift) }
func (r ref) index() uint32 { return uint32(r) & (1<<refKindShift - 1) }

// turn is a place in the order of sending.
type turn struct {
	half  bool
	index uint32
}

// turnBytes is what a turn is worth where some super-packets are longer than others: a connection whose are not has several of them.
type turnBytes struct {
	worth int    // the longest super-packet of any connection so far; 0: all are alike, and a turn is one
	of    uint32 // the slot of the connection whose turn it is
	spent int
}

// NewTable returns an empty table.
func NewTable(cfg Config) *Table {
	cfg = cfg.withDefaults()
	budget, _ := cfg.Memory.(Budget)
	return &Table{
		budget:    budget,
		cfg:       cfg,
		secret:    newSecret(cfg.Secret),
		random:    random(cfg.Seed),
		pool:      pool{memory: cfg.Memory},
		bound:     make(map[endpoint]ListenerID),
		recorders: recorders{most: cfg.Recorders},
	}
}

// SetMTU is an event in: the link's MTU changed. Connections whose path the link limited, or limits now, follow.
func (t *Table) SetMTU(mtu int) {
	old := t.cfg.MTU
	t.cfg.MTU = mtu
	for i := range t.conns.next {
		c := t.conn(i)
		if c.live && !c.detached && (int(c.pathMTU) > mtu || int(c.pathMTU) == old) {
			c.pathMTU = uint16(min(mtu, 65535))
			c.sizeSegments()
		}
	}
}

// SetStanding is an event in: it tells whether packets have been waiting on the link for longer than a burst takes.
func (t *Table) SetStanding(standing bool) { t.standing = standing }

// SetLimits changes the limits; what exists stays. Listeners look at the size of the budget anew, for connections to come.
func (t *Table) SetLimits(connections, halfOpen, timeWait int) {
	c := Config{Connections: connections, HalfOpen: halfOpen, TimeWait: timeWait}.withDefaults()
	t.cfg.Connections, t.cfg.HalfOpen, t.cfg.TimeWait = c.Connections, c.HalfOpen, c.TimeWait
	for i := range t.listeners {
		t.listeners[i].opts.Options = t.complete(t.listeners[i].told)
	}
}

// Arrive is an event in: a packet whose payload is a TCP segment for one of our addresses. It is borrowed during the call.
func (t *Table) Arrive(now Time, p *ip.Packet) Drop { return t.ArriveAt(now, now, p) }

// ArriveAt is Arrive for a packet that was read at an earlier time, and had to wait: for the rest of its batch, a lock, a
// processor. Round-trip times are those of the path, up to at; everything else happens now.
func (t *Table) ArriveAt(now, at Time, p *ip.Packet) Drop {
	t.arrived = min(at, now)
	d := t.arrive(now, p)
	t.counters.SegmentsIn++
	t.counters.Drops[d]++
	t.reclaim(now)
	return d
}

func (t *Table) arrive(now Time, p *ip.Packet) Drop {
	s := &t.seg
	d := s.parse(p)
	if d != DropNone && d != DropFlags {
		return d
	}
	if s.opts.malformed {
		t.counters.MalformedOptions++
	}
	f := Flow{Local: p.Dst, Remote: p.Src}
	f.LocalPort, f.RemotePort = ports(p.Payload)
	r := t.find(&f)
	switch {
	case d == DropFlags && r.kind() == 0 && s.flags&(SYN|RST) == 0 && t.match(f.Local, f.LocalPort) == nil:
		// No flag at all, and nobody there: "an incoming segment not containing a RST causes a RST to be sent in response"
		// (section 3.10.7.1).
		t.reset(now, &f, s)
		return DropClosedPort
	case d == DropFlags:
		return d
	}
	switch r.kind() {
	case 0:
		return t.arriveUnknown(now, &f, s)
	case refConn:
		c := t.conn(r.index())
		d := t.arriveConn(now, c, s)
		if t.recorders.most != 0 && c.live {
			t.recordIn(now, c, s, d)
		}
		t.rest(c)
		return d
	case refHalf:
		return t.arriveHalf(now, r.index(), s)
	default:
		return t.arriveTimeWait(now, r.index(), s)
	}
}

// arriveUnknown handles a segment for a flow without record: RFC 9293, sections 3.10.7.1 and 3.10.7.2.
func (t *Table) arriveUnknown(now Time, f *Flow, s *segment) Drop {
	l := t.match(f.Local, f.LocalPort)
	switch {
	case s.flags.has(RST):
		return DropResetClosed
	case l != nil && !s.flags.has(SYN) && !s.flags.has(ACK):
		return DropNoAck // "this should not be reached. Drop the segment": section 3.10.7.2, fourth
	case l != nil && s.flags.has(ACK):
		if d, ok := t.takeCookie(now, l, f, s); ok {
			return d
		}
		t.reset(now, f, s)
		return DropClosedPort
	case l == nil:
		t.reset(now, f, s)
		return DropClosedPort
	}
	if t.listenFast(now, l, f, s) {
		return DropNone
	}
	d := t.listen(now, l, f, s)
	if d == DropHalfOpen && t.sendCookie(now, l, f, s) {
		return DropNone
	}
	return d
}

// reset answers a segment that has no place here (RFC 9293, section 3.10.7.1), as often as its source may have that.
func (t *Table) reset(now Time, f *Flow, s *segment) {
	if !t.resets.take(now, t.secret.source(f.Remote)) {
		t.counters.ResetsSuppressed++
		return
	}
	r := reply{flow: *f, flags: RST}
	if s.flags.has(ACK) {
		r.seq = s.ack
	} else {
		r.flags |= ACK
		r.ack = s.end()
	}
	t.reply(r)
}

func (t *Table) conn(i uint32) *Conn { return t.conns.at(i) }

// newConn takes a record for f; it is charged before it exists.
func (t *Table) newConn(now Time, f *Flow, o Options) (*Conn, error) {
	if t.connsFull() {
		return nil, ErrLimit
	}
	if t.exhausted() || !t.cfg.Memory.Charge(o.size()) {
		return nil, ErrMemory
	}
	i := t.conns.get()
	if int(i) == len(t.generations) {
		t.generations = append(t.generations, 0)
	}
	t.generations[i]++
	c := t.conn(i)
	*c = Conn{
		flow: *f, slot: i, live: true, opts: t.sets.of(t.complete(o)), busy: &t.idle,
		born: now, heard: now, lastSent: now, stalled: now,
	}
	c.cc.growth = &t.fresh
	c.rcv.max = uint32(c.opts.ReceiveBuffer)
	c.pathMTU = t.pathMTU(now, f.Remote)
	c.tsOffset = t.secret.timestampOffset(f)
	if o.Congestion == BBR {
		j := t.bbrs.get()
		c.cc.bbr = t.bbrs.at(j)
		*c.cc.bbr = bbr{index: j, random: random(t.random.next())}
		t.nBBR++
	}
	t.count(1, 0)
	t.enter(f, makeRef(refConn, i))
	return c, nil
}

// detach makes the table forget the flow of c; the record stays for the application to read what is left.
func (t *Table) detach(c *Conn) {
	if !c.detached {
		c.detached = true
		t.leave(&c.flow, makeRef(refConn, c.slot))
	}
}

// free gives the record back. The application must have released it.
func (t *Table) free(c *Conn) {
	t.detach(c)
	if c.pinned != 0 {
		c.pinned |= pinFree
		return
	}
	if c.signalled != 0 { // the record may soon be another connection's
		t.events = slices.DeleteFunc(t.events, func(e Event) bool { return e.Conn == c })
	}
	c.snd.buf.clear(&t.pool)
	c.rcv.buf.clear(&t.pool)
	t.wheel.cancel(c.slot)
	c.live, c.queued = false, false
	t.disengage(c)
	t.endSearch(c)
	t.forgets(c)
	if c.cc.bbr != nil {
		t.bbrs.put(c.cc.bbr.index)
		c.cc.bbr = nil
		t.nBBR--
	}
	t.forget(c)
	t.count(-1, 0)
	t.cfg.Memory.Release(c.opts.size())
	c.opts = nil
	t.conns.put(c.slot)
}

// want gives c a turn to send.
func (t *Table) want(c *Conn) {
	if !c.queued && !c.detached {
		c.queued = true
		t.turns.push(turn{index: c.slot})
	}
}

// goOn gives c another turn after it has sent, or was acknowledged, something. With nothing left it would only find that out.
func (t *Table) goOn(now Time, c *Conn) {
	if !c.spent() {
		t.want(c)
		return
	}
	c.stopTimer(timerPace)
	t.noteLimit(now, c)
}

// keepTurn lets c, which has sent a packet of n bytes and is the last of those that wait, be the next as well while its turn is worth
// another super-packet.
func (t *Table) keepTurn(c *Conn, n int) {
	u := &t.turn
	if u.of != c.slot {
		u.of, u.spent = c.slot, 0
	}
	u.spent += n
	if c.queued && n > maxSuper/2 && u.spent+maxSuper <= u.worth {
		t.turns.lastFirst()
	} else {
		u.spent = 0
	}
}

// Poll is a poll out: it builds the next packet, valid until the next Poll, whatever is called meanwhile, and returns false when
// there is nothing to send now. Connections take turns; each turn is one packet or super-packet, or several that are worth the longest.
func (t *Table) Poll(now Time, out *ip.Outgoing) bool {
	t.pool.endLoan()
	if !t.next(now, out) {
		return false
	}
	t.pool.lent = len(out.Payload) > 0
	return true
}

// emitStray builds a segment that belongs to no record; one waits.
func (t *Table) emitStray(now Time, out *ip.Outgoing) {
	if r, ok := t.replies.pop(); ok {
		t.buildReply(now, &r, out)
		return
	}
	h, _ := t.cookies.pop()
	t.emitCookie(now, &h, out)
}

// next builds what Poll returns.
func (t *Table) next(now Time, out *ip.Outgoing) bool {
	for {
		if t.replies.n+t.cookies.n > 0 { // a record that pop returns is cleared first, also when there is none
			t.emitStray(now, out)
			return true
		}
		u, ok := t.turns.pop()
		if !ok {
			return false
		}
		if u.half {
			if t.emitHalf(now, u.index, out) {
				return true
			}
			continue
		}
		c := t.conn(u.index)
		if !c.queued {
			continue
		}
		c.queued = false
		if t.emit(now, c, out) {
			t.rest(c)
			t.goOn(now, c)
			if t.turn.worth != 0 {
				t.keepTurn(c, out.Len())
			}
			return true
		}
	}
}
