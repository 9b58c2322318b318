package world

import (
	"fmt"
	"strings"

	"tcpd/ip"
	"tcpd/tcp"
)

// plan is everything that a seed decides beforehand. Chance within the run comes from the same seed.
type plan struct {
	seed   uint64
	v6     bool
	form   form
	box    middlebox
	origin tcp.Time
	clocks [2]clockPlan
	nat    natPlan

	fastOpen bool
	links    [2]linkPlan // by the end they lead to
	ends     [2]endPlan
	conns    []connPlan
}

// endPlan is one end: its limits, its listener, and how punctual it is.
type endPlan struct {
	mtu         int
	memory      int // bytes; 0: without limit
	connections int
	halfOpen    int
	timeWait    int
	backlog     int
	options     tcp.Options // of the listener
	hold        bool
	accept      tcp.Duration // accepting waits up to this
	wake        tcp.Duration // an application runs up to this after its event
	late        tcp.Duration // timers run up to this late
	absent      interval     // there is no listener
	asleep      []interval   // it does nothing, and everything afterwards
	fickle      float64      // the memory budget refuses, whatever there is
	mtuAt       tcp.Time     // 0: never; its MTU changes
	mtuTo       int
	longest     int // bytes of a super-packet; 0: as long as a header can tell
}

// connPlan is one connection.
type connPlan struct {
	at           tcp.Duration // after the origin
	opener       int
	port         uint16 // local; 0: chosen by the table
	closedPort   bool   // nobody listens there
	simultaneous bool   // both ends open it
	options      tcp.Options
	apps         [2]appPlan // opener first
}

// Generations of plans. What a later one adds is drawn from dice of its own, so that a seed that once found something goes on
// meaning the same world.
const (
	firstGeneration = 1 + iota
	secondGeneration
	thirdGeneration
	fourthGeneration
	lastGeneration = fourthGeneration
)

// Generations is the number of the last generation of plans.
const Generations = lastGeneration

// makePlan draws a plan. The first choice is how bad the world is; healthy worlds have to do without any failure.
func makePlan(seed uint64, generation int) plan {
	d := newDice(seed, 1)
	p, bad := drawPlan(d, seed)
	if generation >= secondGeneration {
		p.harden(newDice(seed, 12), bad)
	}
	if generation >= thirdGeneration {
		p.choose(newDice(seed, 16))
	}
	if generation >= fourthGeneration {
		d := newDice(seed, 18)
		for i := range p.ends {
			p.ends[i].longest = pick(d, 0, 0, 65536, 100_000, 262_144)
		}
	}
	return p
}

func drawPlan(d dice, seed uint64) (p plan, bad int) {
	p = plan{
		seed: seed, v6: d.chance(0.5), form: form(d.IntN(int(firstForms))), origin: tcp.Time(1e9 + d.Int64N(300e9)),
	}
	opener, wraps := d.IntN(2), d.chance(0.15)
	if wraps {
		p.wrapSoon(opener, d.size(1, 200_000))
	}
	bad = pick(d, 0, 1, 1, 2, 2, 2)
	p.box = makeBox(d)
	for i := range p.ends {
		p.ends[i] = makeEnd(d, &p, bad)
	}
	total := p.volume(d)
	p.makeLinks(d, bad, total)
	n := pick(d, 1, 1, 1, 2, 3, 5)
	for i := range n {
		p.conns = append(p.conns, makeConn(d, &p, i, bad, total/n))
	}
	if c := &p.conns[0]; wraps && !c.simultaneous {
		c.opener, c.port = opener, wrapPort
	}
	return p, bad
}

// wrapPort is the local port of connections whose sequence numbers are about to wrap, and of those that use a port again.
const wrapPort = 1000

// wrapSoon moves the origin of time to where the first connection begins so many sequence numbers before the wrap.
func (p *plan) wrapSoon(opener, left int) {
	addr := p.addresses()
	t := tcp.NewTable(p.config(opener, &budget{}))
	f := tcp.Flow{Local: addr[opener], Remote: addr[1-opener], LocalPort: wrapPort, RemotePort: openPort}
	if _, err := t.Connect(p.origin, f, tcp.Options{}); err != nil {
		panic(err)
	}
	var out ip.Outgoing
	t.Poll(p.origin, &out)
	iss := look(out.Header).seq()
	p.origin += tcp.Time(-iss-uint32(left)) << 6 // the clock of RFC 6528, section 3, ticks every 64 ns here
}

func makeBox(d dice) middlebox {
	var m middlebox
	for _, kind := range []byte{optScale, optPermitted, optTimestamps} {
		if d.chance(0.15) {
			m.strip = append(m.strip, kind)
		}
	}
	if d.chance(0.05) {
		m.strip = append(m.strip, optMSS)
	}
	if d.chance(0.1) {
		m.mss = d.size(48, 1460)
	}
	return m
}

func makeEnd(d dice, p *plan, bad int) endPlan {
	e := endPlan{mtu: pick(d, 576, 1280, 1500, 1500, 9000, 65535, d.size(256, 65535)), options: makeOptions(d, bad)}
	if p.v6 {
		e.mtu = max(e.mtu, 1280)
	}
	e.hold = d.chance(0.15)
	if d.chance(0.5) {
		e.wake = d.between(tcp.Microsecond, 20*tcp.Millisecond)
	}
	if d.chance(0.3) {
		e.late = d.between(tcp.Microsecond, 15*tcp.Millisecond)
	}
	if d.chance(0.3) {
		e.accept = d.between(tcp.Microsecond, 2*tcp.Second)
	}
	if bad < 2 {
		return e
	}
	if d.chance(0.25) {
		e.memory = d.size(24<<10, 2<<20)
	}
	if d.chance(0.2) {
		e.connections, e.halfOpen, e.backlog = 1+d.IntN(4), 1+d.IntN(3), 1+d.IntN(2)
	}
	if d.chance(0.1) {
		e.timeWait = 1 + d.IntN(3)
	}
	if d.chance(0.1) {
		from := p.origin.Add(d.upTo(3 * tcp.Second))
		e.absent = interval{from, from.Add(d.upTo(3 * tcp.Second))}
	}
	return e
}

func makeOptions(d dice, bad int) tcp.Options {
	o := tcp.Options{NoDelay: d.chance(0.5)}
	if d.chance(0.4) {
		o.Congestion = tcp.Reno
		if o.NoDelay { // no draw of its own: the seeds mean what they meant
			o.MTUProbing = tcp.MTUProbingOn
		}
	}
	if d.chance(0.4) {
		o.ReceiveBuffer = d.size(256, 1<<20)
	}
	if d.chance(0.3) {
		o.SendBuffer = d.size(256, 1<<20)
	}
	switch { // without a draw either
	case o.Congestion == tcp.Cubic && o.ReceiveBuffer != 0:
		o.Congestion = tcp.BBR
	case o.SendBuffer != 0:
		o.Pacing = tcp.PacingOn
	}
	if d.chance(0.2) {
		o.KeepAlive = tcp.KeepAlive{
			Enabled: true, Idle: d.between(tcp.Second, 100*tcp.Second), Interval: d.between(tcp.Second, 10*tcp.Second), Count: 9,
		}
	}
	if bad == 2 && d.chance(0.1) {
		o.UserTimeout = d.between(5*tcp.Second, 5*tcp.Minute)
	}
	return o
}

// volume chooses how many bytes the world moves, such that the packets do not become too many.
func (p *plan) volume(d dice) int {
	small := 1460
	for i := range p.ends {
		small = min(small, p.ends[i].mtu-60)
	}
	if p.box.mss > 0 {
		small = min(small, p.box.mss)
	}
	for _, kind := range p.box.strip {
		if kind == optMSS {
			small = min(small, 536)
		}
	}
	for i := range p.ends {
		if r := p.ends[i].options.ReceiveBuffer; r > 0 {
			small = min(small, max(r/3, 16))
		}
	}
	top := max(small*6000, 2000)
	if d.chance(0.4) {
		return d.size(top/20, top)
	}
	return d.size(1, top)
}

func (p *plan) makeLinks(d dice, bad, total int) {
	delay := d.between(5*tcp.Microsecond, 150*tcp.Millisecond)
	if bad == 2 && d.chance(0.2) {
		delay = d.between(100*tcp.Millisecond, 1500*tcp.Millisecond)
	}
	heal := p.origin.Add(d.between(100*tcp.Millisecond, 3*tcp.Minute))
	dark := bad == 2 && d.chance(0.25)
	for i := range p.links {
		l := linkPlan{delay: delay, heal: heal, granule: pick(d, 0, 0, 50*tcp.Microsecond, tcp.Millisecond, 5*tcp.Millisecond)}
		if d.chance(0.2) {
			l.delay = d.between(delay/4+1, delay*2+1) // the way back is another
		}
		if bad >= 1 {
			l.wear(d, p.form)
		}
		if bad == 2 {
			l.tear(d, total)
		}
		if bad >= 1 && d.chance(0.15) {
			l.forge = d.scale(0.001, 0.1)
		}
		if bad == 2 && d.chance(0.2) {
			l.duplicate, l.echo = d.scale(0.001, 0.3), d.between(tcp.Millisecond, 25*tcp.Second)
		}
		if dark && d.chance(0.7) {
			l.dark = makeDark(d, p.origin)
		}
		p.links[i] = l
	}
}

// wear gives a link the small faults that every connection has to bear.
func (l *linkPlan) wear(d dice, f form) {
	if d.chance(0.5) {
		l.jitter, l.reorder = d.between(l.delay/100+1, l.delay/2+2), d.chance(0.7)
	}
	if d.chance(0.5) {
		l.loss = d.scale(0.0001, 0.01)
	}
	if d.chance(0.3) {
		for range 1 + d.IntN(3) {
			l.nth = append(l.nth, d.size(1, 60))
		}
	}
	if d.chance(0.3) {
		l.duplicate, l.echo = d.scale(0.001, 0.2), d.between(tcp.Microsecond, 3*l.delay+10*tcp.Microsecond)
	}
	if f != formWhole && d.chance(0.4) {
		l.flip = d.scale(0.0001, 0.01)
	}
}

// tear gives a link faults that may end connections.
func (l *linkPlan) tear(d dice, total int) {
	switch d.IntN(5) {
	case 0:
		l.loss = d.scale(0.01, 0.5)
	case 1:
		l.badStart, l.badEnd, l.badLoss = d.scale(0.001, 0.05), d.scale(0.02, 0.5), d.scale(0.3, 1)
	case 2:
		l.rate = d.scale(max(float64(total)/20, 20e3), 1e9)
		l.queue = int(min(l.rate/8*d.scale(0.005, 4), 4<<20))
	case 3:
		l.jitter, l.reorder = d.between(tcp.Millisecond, 500*tcp.Millisecond), true
	case 4:
		l.flip = d.scale(0.01, 0.3)
	}
}

func makeDark(d dice, origin tcp.Time) []interval {
	var list []interval
	at := origin
	for range 1 + d.IntN(2) {
		at = at.Add(d.between(tcp.Millisecond, 20*tcp.Second))
		end := at.Add(d.between(10*tcp.Millisecond, 60*tcp.Second))
		list = append(list, interval{at, end})
		at = end
	}
	return list
}

func makeConn(d dice, p *plan, number, bad, total int) connPlan {
	c := connPlan{opener: d.IntN(2), options: makeOptions(d, bad)}
	if number > 0 {
		c.at = d.upTo(pick(d, tcp.Millisecond, tcp.Second, 5*tcp.Second, 90*tcp.Second))
	}
	switch {
	case d.chance(0.03):
		c.closedPort = true
	case d.chance(0.06):
		c.simultaneous, c.port = true, uint16(2000+number)
	case d.chance(0.3):
		c.port = wrapPort
	}
	c.apps = makeApps(d, total)
	return c
}

func (p *plan) addresses() (a [2]ip.Addr) {
	if p.v6 {
		return [2]ip.Addr{{0: 0xfd, 15: 1}, {0: 0xfd, 15: 2}}
	}
	return [2]ip.Addr{ip.Addr4([4]byte{10, 0, 0, 1}), ip.Addr4([4]byte{10, 0, 0, 2})}
}

// clean reports that nothing at all is wrong with the link: no segment may be sent twice.
func (p *plan) clean() bool {
	return p.links[0].clean() && p.links[1].clean() && len(p.ends[0].asleep)+len(p.ends[1].asleep) == 0 && p.nat.at == 0
}

// mild reports that no connection may fail without an application's doing.
func (p *plan) mild() bool {
	for i := range p.ends {
		e := &p.ends[i]
		if !p.links[i].mild() || e.memory > 0 || e.fickle > 0 || e.connections > 0 || e.timeWait > 0 || e.absent != (interval{}) ||
			e.options.UserTimeout > 0 {
			return false
		}
	}
	for i := range p.conns {
		if p.conns[i].options.UserTimeout > 0 {
			return false
		}
	}
	return true
}

func (p *plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: IPv6 %v, packets %v, box %+v, clean %v, mild %v, translator %+v\n", p.seed, p.v6, p.form, p.box,
		p.clean(), p.mild(), p.nat)
	for i := range p.ends {
		fmt.Fprintf(&b, "end %d: %+v\n    clock: %+v\nlink to %d: %+v\n", i, p.ends[i], p.clocks[i], i, p.links[i])
	}
	for i := range p.conns {
		fmt.Fprintf(&b, "connection %d: %+v\n", i, p.conns[i])
	}
	return b.String()
}
