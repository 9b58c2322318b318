package world

import "tcpd/tcp"

// clockPlan is how an end tells the time. No two machines agree; some clocks move in ticks of up to 15 ms (RACK and RTT
// estimators of other stacks are known to suffer from it), and some jump ahead after a pause of the machine.
type clockPlan struct {
	ahead tcp.Duration // of the world's time
	tick  tcp.Duration // it moves by this; 0: continuously
	jumps []jump
}

type jump struct {
	at tcp.Time // of the world
	by tcp.Duration
}

// show returns what the clock shows at a time of the world.
func (c *clockPlan) show(at tcp.Time) tcp.Time {
	t := at.Add(c.ahead)
	for _, j := range c.jumps {
		if j.at <= at {
			t = t.Add(j.by)
		}
	}
	if c.tick > 0 {
		t -= t % tcp.Time(c.tick)
	}
	return t
}

// reaches returns the first time of the world at which the clock shows at least t.
func (c *clockPlan) reaches(t tcp.Time) tcp.Time {
	if k := tcp.Time(c.tick); k > 0 {
		t = (t + k - 1) / k * k
	}
	at := t.Add(-c.ahead)
	for _, j := range c.jumps {
		if at < j.at {
			break
		}
		at = max(at.Add(-j.by), j.at)
	}
	return at
}

// clock is the time at this end.
func (e *end) clock() tcp.Time { return e.w.plan.clocks[e.index].show(e.w.now) }

// wakes returns when the end does what is due now: machines pause, and then do everything at once.
func (e *end) wakes(at tcp.Time) tcp.Time {
	for _, p := range e.plan.asleep {
		if p.has(at) {
			return p.to
		}
	}
	return at
}
