package world

import (
	"fmt"
	"math"

	"tcpd/tcp"
)

// scenario is a plan that is made by hand: two healthy ends and a link that does nothing but delay.
func scenario(seed uint64, delay tcp.Duration, o tcp.Options, conns ...connPlan) plan {
	p := plan{seed: seed, form: formWire, origin: tcp.Time(tcp.Second)}
	for i := range p.ends {
		p.ends[i] = endPlan{mtu: 1500, options: o}
		p.links[i] = linkPlan{delay: delay, heal: tcp.Never}
	}
	for _, c := range conns {
		c.options = o
		p.conns = append(p.conns, c)
	}
	return p
}

// busy is an application's plan to send without end, or to read what comes.
func busy(send int) appPlan { return appPlan{send: send, read: 64 << 10, write: 64 << 10} }

// Month is the life of one busy connection over many days.
type Month struct {
	Result
	Wraps int      // of the sequence numbers
	Info  tcp.Info // of the sender, shortly before the end
}

// RunMonth runs one connection that always has something to send for so many days, with a loss of each packet. A window of 32
// KiB and a round-trip time of a second let it move 2.8 GB a day. Each minute some of what the window allows has to
// arrive.
func RunMonth(seed uint64, days, loss float64) (m Month) {
	const window, rtt = 32 << 10, tcp.Second
	o := tcp.Options{ReceiveBuffer: window, MTUProbing: tcp.MTUProbingOff}
	p := scenario(seed, rtt/2, o, connPlan{apps: [2]appPlan{busy(math.MaxInt), busy(0)}})
	p.form = formWhole
	for i := range p.ends {
		p.ends[i].mtu = 9000
		p.links[i].loss = loss
	}
	m.Seed = seed
	w := newWorld(p, nil)
	w.steps, w.every = math.MaxInt, 1021
	defer func() {
		if x := recover(); x != nil {
			m.Failure = describe(x)
		}
		m.Virtual = w.now.Sub(p.origin)
		m.Packets, m.Bytes = w.ends[0].arrived+w.ends[1].arrived, uint64(w.apps[1].got)
		m.Wraps = int(m.Bytes >> 32)
	}()
	w.start()
	a := w.apps[0]
	had, next := 0, p.origin.Add(2*tcp.Minute)
	for end := p.origin.Add(tcp.Duration(days * float64(tcp.Day))); w.now < end && w.next(); {
		if w.now < next {
			continue
		}
		next = next.Add(tcp.Minute)
		if moved := w.apps[1].got - had; moved < window*int(tcp.Minute/rtt)/5 {
			w.failf("%d bytes in a minute: %+v", moved, a.info())
		}
		had = w.apps[1].got
	}
	m.Info = a.info()
	a.plan.send = a.sent // enough
	a.ready(0)
	for w.next() {
	}
	w.checkEnd()
	return m
}

func (m *Month) String() string {
	return fmt.Sprintf("%.1f days, %d bytes, %d packets, sequence numbers wrapped %d times, cwnd %d, ssthresh %d, %d retransmissions, %d time-outs",
		float64(m.Virtual)/float64(tcp.Day), m.Bytes, m.Packets, m.Wraps, m.Info.Cwnd, m.Info.Ssthresh, m.Info.Retransmits, m.Info.Timeouts)
}

// share runs two connections that always have something to send through one bottleneck, the second begins some seconds after
// the first, and returns what each got of the time from warm-up to end.
func share(seed uint64, o tcp.Options, rate float64, queue int, delay tcp.Duration) (got [2]int) {
	const second, warm, end = 3 * tcp.Second, 30 * tcp.Second, 90 * tcp.Second
	flow := connPlan{apps: [2]appPlan{busy(math.MaxInt), busy(0)}}
	late := flow
	late.at = second + newDice(seed, 1).upTo(5*tcp.Second)
	p := scenario(seed, delay, o, flow, late)
	p.links[1].rate, p.links[1].queue = rate, queue
	w := newWorld(p, nil)
	w.every = 1021
	w.start()
	for w.now < p.origin.Add(end) && w.next() {
		if w.now < p.origin.Add(warm) {
			got = [2]int{w.pairs[0].apps[1].got, w.pairs[1].apps[1].got}
		}
	}
	for i, p := range w.pairs {
		got[i] = p.apps[1].got - got[i]
	}
	return got
}
