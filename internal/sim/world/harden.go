package world

import "tcpd/tcp"

// harden adds the faults of the second generation: clocks, pauses, routers, translators, attackers with more ideas.
func (p *plan) harden(d dice, bad int) {
	if d.chance(0.15) {
		p.form = formMixed
	}
	p.makeClocks(d)
	if bad == 0 {
		return
	}
	if d.chance(0.06) {
		p.box.window = d.size(max(p.smallest()/2, 512), 65535)
	}
	if d.chance(0.05) {
		p.nat = natPlan{conn: d.IntN(len(p.conns)), at: p.soon(d), port: 60123}
	}
	for i := range p.ends {
		p.hardenEnd(d, &p.ends[i], bad)
	}
	for i := range p.links {
		p.hardenLink(d, &p.links[i], bad)
	}
}

// soon is a time while the connections may be expected to live.
func (p *plan) soon(d dice) tcp.Time {
	return p.origin.Add(d.between(max(p.links[0].delay, tcp.Microsecond), 400*p.links[0].delay+tcp.Second))
}

// smallest returns about what a segment carries.
func (p *plan) smallest() int { return min(p.ends[0].mtu, p.ends[1].mtu, 1500) - 60 }

// makeClocks: the first connection's sequence numbers may depend on the opener's clock; see wrapSoon.
func (p *plan) makeClocks(d dice) {
	wraps := p.conns[0].port == wrapPort
	for i := range p.clocks {
		c := &p.clocks[i]
		if d.chance(0.5) && !(wraps && i == p.conns[0].opener) {
			c.ahead = d.upTo(tcp.Hour)
		}
		if d.chance(0.25) && !(wraps && i == p.conns[0].opener) {
			c.tick = d.between(500*tcp.Microsecond, 15*tcp.Millisecond)
		}
		if d.chance(0.25) {
			at := p.origin
			for range 1 + d.IntN(8) {
				at = at.Add(d.between(tcp.Millisecond, 2*tcp.Second))
				c.jumps = append(c.jumps, jump{at, d.between(500*tcp.Microsecond, 15*tcp.Millisecond)})
			}
		}
	}
}

func (p *plan) hardenEnd(d dice, e *endPlan, bad int) {
	if d.chance(0.15) {
		at := p.origin
		for range 1 + d.IntN(5) {
			at = at.Add(d.between(tcp.Millisecond, 2*tcp.Second))
			until := at.Add(d.between(100*tcp.Microsecond, pick(d, 20*tcp.Millisecond, 300*tcp.Millisecond, 5*tcp.Second)))
			e.asleep = append(e.asleep, interval{at, until})
			at = until
		}
	}
	if d.chance(0.1) {
		e.mtuAt, e.mtuTo = p.soon(d), pick(d, 1280, 1400, 1500, 9000)
	}
	if bad == 2 && d.chance(0.05) {
		e.fickle = d.scale(0.001, 0.2)
	}
}

func (p *plan) hardenLink(d dice, l *linkPlan, bad int) {
	if l.flip > 0 && d.chance(0.5) {
		l.truncate = 0.3
	}
	if d.chance(0.25) {
		l.marks, l.rude = d.scale(0.001, 1), d.chance(0.2)
	}
	l.bleach = d.chance(0.05)
	if l.forge > 0 {
		l.attacks = numAttacks
	}
	if d.chance(0.1) {
		l.blind = d.scale(0.001, 0.1)
	}
	if d.chance(0.12) {
		p.makeNarrow(d, l, bad)
	}
	if d.chance(0.1) {
		for range 1 + d.IntN(3) {
			l.routes = append(l.routes, route{p.soon(d), d.between(l.delay/8+1, min(8*l.delay+1, 390*tcp.Millisecond+l.delay))})
		}
	}
	if d.chance(0.1) {
		p.makeFreezes(d, l, bad)
	}
	if bad == 2 && d.chance(0.1) {
		l.soft = d.scale(0.01, 1)
	}
}

// makeNarrow lets a router pass less from some time on, and says so; or says nothing, but then not for ever.
func (p *plan) makeNarrow(d dice, l *linkPlan, bad int) {
	least := 576
	if p.v6 {
		least = 1280
	}
	n := narrow{interval{p.soon(d), tcp.Never}, d.size(least, 9000), bad == 2 && d.chance(0.4)}
	if n.silent {
		n.to = l.heal
	}
	l.narrow = append(l.narrow, n)
}

// makeFreezes freezes connections one after the other, and lets them go in any order.
func (p *plan) makeFreezes(d dice, l *linkPlan, bad int) {
	longest := tcp.Second
	if bad == 2 {
		longest = pick(d, tcp.Second, 30*tcp.Second)
	}
	at := p.soon(d)
	for _, i := range d.Perm(len(p.conns)) {
		l.freezes = append(l.freezes, frozen{interval{at, at.Add(d.between(tcp.Millisecond, longest))}, i})
		at = at.Add(d.upTo(longest / 4))
	}
}
