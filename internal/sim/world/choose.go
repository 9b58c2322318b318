package world

import "tcpd/tcp"

// choose adds the options and calls of the third generation: BBR, pacing, ECN, Fast Open, MTU probing, cork, urgent data, pages
// that are lent.
func (p *plan) choose(d dice) {
	ecn := pick(d, tcp.ECNAccept, tcp.ECNAccept, tcp.ECNOn, tcp.ECNOn, tcp.ECNOff)
	p.fastOpen = d.chance(0.25)
	probing := d.chance(0.8)
	for i := range p.ends {
		p.chooseOptions(d, &p.ends[i].options, ecn, probing)
	}
	for i := range p.conns {
		c := &p.conns[i]
		p.chooseOptions(d, &c.options, ecn, probing)
		for k := range c.apps {
			c.apps[k].lends, c.apps[k].corks = d.chance(0.3), d.chance(0.2)
			if d.chance(0.1) {
				c.apps[k].urgent = d.scale(0.01, 1)
			}
		}
	}
	for i := range p.links {
		for k := range p.links[i].narrow {
			if n := &p.links[i].narrow[k]; probing && n.silent && d.chance(0.5) {
				n.to = tcp.Never // connections find out by themselves
			}
		}
	}
}

func (p *plan) chooseOptions(d dice, o *tcp.Options, ecn tcp.ECN, probing bool) {
	o.MTUProbing = tcp.MTUProbingOff
	if probing {
		o.MTUProbing = pick(d, tcp.MTUProbingBlackHole, tcp.MTUProbingBlackHole, tcp.MTUProbingOn)
	}
	if p.fastOpen {
		o.FastOpen = tcp.FastOpenClient | tcp.FastOpenServer
	}
	if d.chance(0.3) {
		o.Congestion = tcp.BBR
	}
	if d.chance(0.4) {
		o.Pacing = pick(d, tcp.PacingOn, tcp.PacingOff)
	}
	o.ECN = ecn
	if d.chance(0.1) {
		o.ECN = pick(d, tcp.ECNAccept, tcp.ECNOff, tcp.ECNOn)
	}
	if d.chance(0.1) {
		o.TTL, o.TrafficClass = uint8(d.IntN(256)), uint8(d.IntN(256))
	}
}
