package world

import (
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
	numForms
)

func (f form) String() string { return [...]string{"whole", "wire", "pieces", "merged"}[f] }

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
}

type interval struct{ from, to tcp.Time }

// clean reports that the link does nothing but delay.
func (p *linkPlan) clean() bool {
	return p.mild() && p.loss == 0 && p.badStart == 0 && len(p.nth) == 0 && p.duplicate == 0 && p.flip == 0 && p.forge == 0 &&
		p.jitter == 0 && p.rate == 0
}

// mild reports that no connection may fail because of the link.
func (p *linkPlan) mild() bool {
	return p.loss+p.flip <= 0.02 && p.badStart == 0 && len(p.nth) <= 3 && len(p.dark) == 0 && p.rate == 0 &&
		p.delay+p.jitter < 400*tcp.Millisecond
}

// packet is a packet on its way.
type packet struct {
	b         []byte
	offload   ip.Offload
	to        int
	corrupted bool
}

// direction is one direction of the link.
type direction struct {
	w     *world
	plan  linkPlan
	to    int
	dice  dice
	bad   bool
	free  tcp.Time // when the sender of a link with a rate is done
	last  tcp.Time // when the last packet in order arrives
	count int
	tops  map[string]uint32 // of each flow: the sequence number after all that was sent
	blunt bool              // corruption changes nothing: a test of the oracle
	split ip.Segmenter
}

// send takes what an end sends, in the form of the link.
func (l *direction) send(o *ip.Outgoing) {
	l.w.plan.box.pass(o)
	switch l.w.plan.form {
	case formWhole:
		l.carry(o)
		return
	case formPieces:
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
	if why := l.loses(now, o.Len(), sick); why != "" {
		if l.w.trace != nil {
			l.w.tracePacket(l.to, flatten(nil, o), why)
		}
		return
	}
	at := l.arrival(now, o.Len())
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
	at = at.Add(p.delay + l.dice.upTo(p.jitter))
	if !p.reorder {
		at = max(at, l.last)
		l.last = at
	}
	if g := tcp.Time(p.granule); g > 0 {
		at = (at + g - 1) / g * g
	}
	return at
}

// put lays a copy of a packet on the agenda.
func (l *direction) put(o *ip.Outgoing, at tcp.Time, sick bool) {
	i, p := l.w.newPacket()
	p.b, p.offload, p.to, p.corrupted = flatten(p.b[:0], o), o.Offload, l.to, false
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
		corrupt(l.dice, p.b)
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
