package world

import (
	"encoding/binary"
	"fmt"

	"tcpd/ip"
	"tcpd/tcp"
)

// form says what shape packets have on the link.
type form uint8

const (
	formWhole  form = iota // super-packets pass as they are, checksums partial
	formWire               // segments of full size with complete checksums
	formPieces             // segments cut at arbitrary places, with complete checksums
	formMerged             // segments, merged again before they arrive
	formMixed              // segments cut at arbitrary places, merged again where they fit
	numForms
)

const firstForms = formMixed // of the first generation of plans

func (f form) merges() bool { return f == formMerged || f == formMixed }

func (f form) String() string { return [...]string{"whole", "wire", "pieces", "merged", "mixed"}[f] }

// linkPlan is what one direction of the link does to packets.
type linkPlan struct {
	delay     tcp.Duration
	jitter    tcp.Duration
	reorder   bool    // jitter may change the order
	loss      float64 // of each packet
	badStart  float64 // a bad time begins with a packet with this probability
	badEnd    float64 // and ends
	badLoss   float64 // loss in a bad time
	nth       []int   // these packets are lost
	duplicate float64
	echo      tcp.Duration // how much later a duplicate may come
	flip      float64
	forge     float64 // an attacker who sees the packet sends one of its own
	rate      float64 // bits per second; 0: without limit
	queue     int     // bytes that may wait at the rate
	dark      []interval
	granule   tcp.Duration // packets arrive on multiples of this, many at once
	heal      tcp.Time     // from now on nothing is lost, duplicated or corrupted

	truncate float64 // of corrupted packets: they are cut short
	marks    float64 // routers mark packets of an ECN capable transport
	rude     bool    // and all others as well
	bleach   bool    // they clear the ECN field
	narrow   []narrow
	routes   []route
	freezes  []frozen
	attacks  int     // of the kinds in forge.go: how many the attacker knows
	blind    float64 // he sends an ICMP error
	soft     float64 // a lost packet makes a router send an error
}

type interval struct{ from, to tcp.Time }

func (i interval) has(t tcp.Time) bool { return i.from <= t && t < i.to }

// frozen is a time in which the link keeps what it carries for a connection.
type frozen struct {
	interval
	conn int
}

// route is another way, with another delay.
type route struct {
	at    tcp.Time
	delay tcp.Duration
}

// clean reports that the link does nothing but delay.
func (p *linkPlan) clean() bool {
	return p.mild() && p.loss == 0 && p.badStart == 0 && len(p.nth) == 0 && p.duplicate == 0 && p.flip == 0 && p.forge == 0 &&
		p.jitter == 0 && p.rate == 0 && len(p.narrow) == 0 && len(p.routes) == 0 && len(p.freezes) == 0
}

// mild reports that no connection may fail because of the link.
func (p *linkPlan) mild() bool {
	for _, r := range p.narrow {
		if r.silent {
			return false
		}
	}
	for _, f := range p.freezes {
		if f.to.Sub(f.from) > tcp.Second {
			return false
		}
	}
	return p.soft == 0 && p.loss+p.flip <= 0.02 && p.badStart == 0 && len(p.nth) <= 3 && len(p.dark) == 0 && p.rate == 0 &&
		p.delay+p.jitter < 400*tcp.Millisecond
}

// packet is a packet on its way.
type packet struct {
	b         []byte
	offload   ip.Offload
	to        int
	corrupted bool
	forged    bool // by an attacker
	icmp      bool
}

// plain packets are TCP segments as an end has sent them.
func (p *packet) plain() bool { return !p.corrupted && !p.forged && !p.icmp }

// longestTold is the longest packet that tells its own length, in both families.
const longestTold = 65535

// direction is one direction of the link.
type direction struct {
	w     *world
	plan  linkPlan
	to    int
	dice  dice
	chaos dice // of what came later than the first generation of plans
	bad   bool
	free  tcp.Time // when the sender of a link with a rate is done
	last  tcp.Time // when the last packet in order arrives
	count int
	tops  map[string]uint32 // of each flow: the sequence number after all that was sent
	blunt bool              // corruption changes nothing: a test of the oracle
	cut   ip.Segmenter
	split ip.Segmenter

	quoted ip.Packet // scratch
}

// send takes what an end sends, in the form of the link.
func (l *direction) send(o *ip.Outgoing) {
	if o.Len() > longestTold {
		if err := l.cut.Cut(o, longestTold, func(p *ip.Outgoing) error { l.send(p); return nil }); err != nil {
			l.w.failf("a packet cannot be cut: %v", err)
		}
		return
	}
	if !l.w.translate(1-l.to, o) {
		if l.w.trace != nil {
			l.w.tracePacket(l.to, flatten(nil, o), "unknown to the translator")
		}
		return
	}
	l.w.plan.box.pass(o)
	switch l.w.plan.form {
	case formWhole:
		l.carry(o)
		return
	case formPieces, formMixed:
		if size := l.pieceSize(o); size > 0 {
			o.Offload.SegmentSize = uint16(size)
		}
	}
	if err := l.split.Split(o, func(p *ip.Outgoing) error { l.carry(p); return nil }); err != nil {
		l.w.failf("a packet cannot be segmented: %v", err)
	}
}

// pieceSize chooses where a packet is cut.
func (l *direction) pieceSize(o *ip.Outgoing) int {
	payload := o.Len() - len(o.Header)
	full := int(o.Offload.SegmentSize)
	if full == 0 {
		full = payload
	}
	if syn := tcp.Flags(o.Header[o.NetworkLen+atFlags])&tcp.SYN != 0; syn {
		return 0 // nothing in the world cuts a SYN
	}
	if payload < 2 || l.dice.chance(0.5) {
		return int(o.Offload.SegmentSize)
	}
	return max(1+l.dice.IntN(full), payload/20+1)
}

// carry decides the fate of one packet.
func (l *direction) carry(o *ip.Outgoing) {
	l.count++
	now := l.w.now
	sick := now < l.plan.heal
	if l.plan.forge > 0 && sick {
		l.forge(o)
	}
	if sick && l.plan.blind > 0 && l.chaos.chance(l.plan.blind) {
		l.blindError(o)
	}
	if r := l.narrows(now, o); r != nil {
		if l.w.trace != nil {
			l.w.tracePacket(l.to, flatten(nil, o), fmt.Sprintf("too big for %d", r.mtu))
		}
		if !r.silent {
			l.complain(ip.PacketTooBig, o, r.mtu)
		}
		return
	}
	if why := l.loses(now, o.Len(), sick); why != "" {
		if l.w.trace != nil {
			l.w.tracePacket(l.to, flatten(nil, o), why)
		}
		if l.plan.soft > 0 && l.chaos.chance(l.plan.soft) {
			l.complain(pick(l.chaos, ip.HostUnreachable, ip.NetUnreachable, ip.TimeExceeded), o, 0)
		}
		return
	}
	at := l.thaw(l.arrival(now, o.Len()), o)
	l.put(o, at, sick)
	if sick && l.dice.chance(l.plan.duplicate) {
		l.put(o, at.Add(l.dice.upTo(l.plan.echo)), sick)
	}
}

// loses returns why a packet is lost, or nothing.
func (l *direction) loses(now tcp.Time, size int, sick bool) string {
	p := &l.plan
	if p.rate > 0 && l.free > now && float64(l.free.Sub(now))*p.rate/8e9 > float64(p.queue) {
		return "queue full"
	}
	if !sick {
		return ""
	}
	for _, d := range p.dark {
		if d.from <= now && now < d.to {
			return "blackout"
		}
	}
	for _, n := range p.nth {
		if n == l.count {
			return fmt.Sprint("lost, number ", n)
		}
	}
	if l.dice.chance(p.loss) {
		return "lost"
	}
	if p.badStart == 0 {
		return ""
	}
	if l.bad {
		l.bad = !l.dice.chance(p.badEnd)
	} else {
		l.bad = l.dice.chance(p.badStart)
	}
	if l.bad && l.dice.chance(p.badLoss) {
		return "lost in a burst"
	}
	return ""
}

// arrival returns when a packet arrives.
func (l *direction) arrival(now tcp.Time, size int) tcp.Time {
	p := &l.plan
	at := now
	if p.rate > 0 {
		l.free = max(l.free, now).Add(tcp.Duration(float64(size) * 8e9 / p.rate))
		at = l.free
	}
	at = at.Add(l.delay(now) + l.dice.upTo(p.jitter))
	if !p.reorder {
		at = max(at, l.last)
		l.last = at
	}
	if g := tcp.Time(p.granule); g > 0 {
		at = (at + g - 1) / g * g
	}
	return at
}

// delay is that of the route in use.
func (l *direction) delay(now tcp.Time) tcp.Duration {
	d := l.plan.delay
	for _, r := range l.plan.routes {
		if r.at <= now {
			d = r.delay
		}
	}
	return d
}

// thaw returns when a packet that would arrive at a time arrives, if the link keeps those of its connection for a while.
func (l *direction) thaw(at tcp.Time, o *ip.Outgoing) tcp.Time {
	if len(l.plan.freezes) == 0 {
		return at
	}
	h := o.Header[o.NetworkLen:]
	p, _ := l.w.find(1-l.to, binary.BigEndian.Uint16(h), binary.BigEndian.Uint16(h[2:]))
	for _, f := range l.plan.freezes {
		if p != nil && f.conn == p.index && f.has(l.w.now) {
			at = max(at, f.to)
		}
	}
	return at
}

// mark does to the ECN field what routers do.
func (l *direction) mark(b []byte) {
	was := congestion(b)
	switch {
	case l.plan.bleach && was != notECT:
		setCongestion(b, notECT)
	case (was != notECT || l.plan.rude) && l.chaos.chance(l.plan.marks):
		setCongestion(b, ce)
	}
}

// put lays a copy of a packet on the agenda.
func (l *direction) put(o *ip.Outgoing, at tcp.Time, sick bool) {
	i, p := l.w.newPacket()
	p.b, p.offload, p.to = flatten(p.b[:0], o), o.Offload, l.to
	if sick && l.plan.marks > 0 || l.plan.bleach {
		l.mark(p.b)
	}
	if o.Offload.Checksum == ip.ChecksumFull && sick && l.dice.chance(l.plan.flip) {
		p.corrupted = true
	}
	if l.w.trace != nil {
		note := fmt.Sprintf("arrives %v", seconds(at-l.w.plan.origin))
		if p.corrupted {
			note += ", corrupted"
		}
		l.w.tracePacket(l.to, p.b, note)
	}
	if p.corrupted && !l.blunt {
		if l.plan.truncate > 0 && l.chaos.chance(l.plan.truncate) {
			p.b = p.b[:1+l.chaos.IntN(len(p.b)-1)]
		} else {
			corrupt(l.dice, p.b)
		}
	}
	l.w.agenda.add(item{at: at, kind: itemPacket, index: i})
}

func flatten(b []byte, o *ip.Outgoing) []byte {
	b = append(b, o.Header...)
	for _, p := range o.Payload {
		b = append(b, p...)
	}
	return b
}
