package world

import "tcpd/tcp"

// choose adds the options and calls of the third generation: BBR, pacing, ECN, cork, urgent data, pages that are lent.
func (p *plan) choose(d dice) {
	ecn := pick(d, tcp.ECNAccept, tcp.ECNAccept, tcp.ECNOn, tcp.ECNOn, tcp.ECNOff)
	for i := range p.ends {
		chooseOptions(d, &p.ends[i].options, ecn)
	}
	for i := range p.conns {
		c := &p.conns[i]
		chooseOptions(d, &c.options, ecn)
		for k := range c.apps {
			c.apps[k].lends, c.apps[k].corks = d.chance(0.3), d.chance(0.2)
			if d.chance(0.1) {
				c.apps[k].urgent = d.scale(0.01, 1)
			}
		}
	}
}

func chooseOptions(d dice, o *tcp.Options, ecn tcp.ECN) {
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
