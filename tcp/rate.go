package tcp

// micros is an instant in microseconds, modulo 2^32, 71 minutes: nothing that is measured with it lasts as long.
type micros uint32

func (t Time) micros() micros { return micros(t / Time(Microsecond)) }

func (m micros) sub(n micros) Duration { return Duration(int32(m-n)) * Microsecond }

// mark is what was known when a stretch was sent: the beginning of the delivery rate sample that its acknowledgement ends
// (draft-ietf-ccwg-bbr-06, section 4.1.2.1.2).
type mark struct {
	delivered uint32 // P.delivered
	lost      uint32 // P.lost
	inflight  uint32 // P.tx_in_flight
	at        micros // P.delivered_time
	first     micros // P.first_send_time
}

// sampler measures the delivery rate: how much was delivered between the transmission of a stretch and its acknowledgement
// (draft-ietf-ccwg-bbr-06, section 4.1). Amounts are bytes modulo 2^32.
type sampler struct {
	delivered uint32 // C.delivered: acknowledged, cumulatively or selectively
	lost      uint32 // C.lost: ever deemed lost
	bubble    uint32 // C.app_limited: when as much is delivered, the idle gap has left the path
	at        micros // C.delivered_time
	first     micros // C.first_send_time
	limited   bool   // the application had nothing to send, and the bubble that this made is still on its way
}

// appLimited marks a delivery rate, in bytes per second, that was measured while the application limited it.
const appLimited = 1 << 63

// rateSample is what one acknowledgement tells, "RS" of the draft.
type rateSample struct {
	ok        bool   // something was delivered that a sample can go out from
	limited   bool   // by the application
	rate      uint64 // bytes per second; 0: not measured
	prior     uint32 // RS.prior_delivered
	delivered uint32 // RS.delivered
	lost      uint32 // RS.lost: since the stretch was sent
	inflight  uint32 // RS.tx_in_flight: when it was sent, with itself
}

// mark writes down what is known as n bytes leave with record s, after which pipe bytes are in flight (section 4.1.2.2).
func (r *sampler) mark(now Time, s *sent, n, pipe int) {
	if pipe <= n {
		r.first, r.at = now.micros(), now.micros()
	}
	s.mark = mark{delivered: r.delivered, lost: r.lost, inflight: uint32(max(pipe, 0)), at: r.at, first: r.first}
	s.limited = r.limited
}

// dry marks an application that limits the rate: nothing is left to send, though it could be (section 4.1.2.4,
// CheckIfApplicationLimited).
func (r *sampler) dry(inflight int) {
	r.limited, r.bubble = true, r.delivered+uint32(max(inflight, 0))
}

// checkDry is called before data is written, and before acknowledgements and timers change what is in flight.
func (t *Table) checkDry(now Time, c *Conn) {
	if c.busy != &t.idle && c.unsent() < int(c.snd.mss) && !c.bufferBound() && c.flight.lost == 0 && c.cwndRoom() > 0 && c.release <= now {
		c.rate.dry(c.inflight())
	}
}

// bufferBound tells whether the send buffer, at its longest, is what limits the rate: all of it is under way. What is measured then
// is the most that there will be, unless the application ends: for a Startup that waits for more the queue fills in vain.
func (c *Conn) bufferBound() bool { return int(c.snd.buf.len) >= c.opts.SendBuffer-c.opts.SendBuffer/8 }

// sampleRate ends the sample that began with the transmission of what was sent last of what is delivered now (section 4.1.2.3).
// Where only an original arrives that was sent again, there is none: "The sender MAY choose to skip the generation of a
// delivery rate sample for a retransmitted sequence range" (section 4.1.3.5).
func (c *Conn) sampleRate(d *delivery) {
	r := &c.rate
	if r.limited && int32(r.delivered-r.bubble) > 0 {
		r.limited = false
	}
	if !d.any {
		return
	}
	l, s := &d.latest, &d.rate
	s.ok, s.limited, s.inflight = true, l.limited, l.mark.inflight
	s.prior, s.delivered, s.lost = l.mark.delivered, r.delivered-l.mark.delivered, r.lost-l.mark.lost
	sent := l.at.micros()
	interval := max(sent.sub(l.mark.first), r.at.sub(l.mark.at))
	r.first = sent
	// "Normally we expect interval >= MinRTT." The microsecond is what was rounded off.
	if interval <= 0 || interval+Microsecond < c.rtt.min {
		return
	}
	s.rate = uint64(s.delivered) * uint64(Second/Microsecond) / uint64(interval/Microsecond)
	if !s.limited || s.rate >= c.deliveryRate&^appLimited {
		c.deliveryRate = s.rate
		if s.limited {
			c.deliveryRate |= appLimited
		}
	}
}
