package world

import (
	"encoding/binary"

	"tcpd/ip"
	"tcpd/tcp"
)

// tap watches one side of a connection on the wire: what leaves there, before anything happens to it, and what arrives. It
// takes nothing from package tcp, so that it sees what a peer would hold against us.
type tap struct {
	begun bool     // its SYN has left
	made  tcp.Time // when its listener made a record for it, by its clock
	iss   uint32   // of its SYN
	max   uint32   // after all that was sent
	scale int      // of its windows, as its SYN says; -1: not said

	acks    bool
	ack     uint32    // highest acknowledgement sent
	edge    uint32    // right edge of the window it has offered
	sacked  []stretch // beyond ack, reported as received
	fin     bool
	rst     bool
	reset   bool // a RST of the peer has ended it
	claimed int  // bytes in sacked

	peerScale int // as the peer's SYN said when it arrived; -1: not said
	peerMSS   int
	open      bool   // a window was offered
	room      uint32 // right edge of the window that was offered
}

// stretch is a piece of sequence space.
type stretch struct{ start, end uint32 }

func less(a, b uint32) bool { return int32(a-b) < 0 }

func later(a, b uint32) uint32 {
	if less(a, b) {
		return b
	}
	return a
}

// ports of a packet, and the flow they stand for as the opener, which is end i, sees it.
type portsKey struct {
	opener        int
	local, remote uint16
}

// find returns the connection that a packet between end i, with the port here, and its peer belongs to, and the side.
func (w *world) find(i int, here, there uint16) (*pair, int) {
	if p := w.byPorts[portsKey{i, here, there}]; p != nil {
		return p, 0
	}
	return w.byPorts[portsKey{1 - i, there, here}], 1
}

// leaves looks at a packet that an end sends.
func (w *world) leaves(e *end, o *ip.Outgoing) {
	h := o.Header[o.NetworkLen:]
	p, side := w.find(e.index, binary.BigEndian.Uint16(h), binary.BigEndian.Uint16(h[2:]))
	if p == nil || p.shared {
		return
	}
	n := o.Len()
	if s := int(o.Offload.SegmentSize); s > 0 {
		n = min(n, len(o.Header)+s)
	}
	if o.NetworkLen == ip.MaxHeaderLen {
		n -= ip.MaxHeaderLen - ip.HeaderLen6 // no segment of a jumbogram has its option
	}
	if n > e.mtu {
		w.failf("%v: sends a packet of %d bytes, the MTU is %d", p.apps[side], n, e.mtu)
	}
	p.taps[side].send(p.apps[side], &p.taps[1-side], segment{header: h}, o.Len()-len(o.Header), n-len(o.Header))
}

// send judges a segment with n bytes of data, in segments of unit bytes.
func (t *tap) send(a *app, peer *tap, s segment, n, unit int) {
	f := s.flags()
	if f&tcp.RST != 0 {
		t.rst = true
		return
	}
	if f&tcp.SYN != 0 {
		if t.begun && t.iss != s.seq() {
			// A listener that keeps no record, or no longer, answers anew: which answer counts is the other side's choice.
			a.pair.shared = true
			return
		}
		t.sendSyn(s)
	}
	if !t.begun {
		a.w.failf("%v: sends a segment without having sent a SYN", a)
	}
	end := s.seq() + uint32(n)
	if f&tcp.SYN != 0 {
		end++
	}
	if n > 0 {
		t.sendData(a, s, end, unit)
	}
	if f&tcp.FIN != 0 {
		t.fin = true
		if want := t.iss + 1 + uint32(a.sent); !a.fin || end != want {
			a.w.failf("%v: FIN at %d of a stream of %d, ended %v", a, end-t.iss-1, a.sent, a.fin)
		}
		end++
	}
	t.max = later(t.max, end)
	if f&tcp.ACK != 0 {
		t.acknowledge(a, peer, s)
	}
}

func (t *tap) sendSyn(s segment) {
	if t.begun {
		return
	}
	*t = tap{
		begun: true, made: t.made, iss: s.seq(), max: s.seq(), scale: -1, peerScale: t.peerScale, peerMSS: t.peerMSS, open: t.open,
		room: t.room,
	}
	if s.flags()&tcp.ACK == 0 {
		t.peerScale = -1
	}
	eachOption(s.options(), func(o []byte) {
		if o[0] == optScale {
			t.scale = int(o[2])
		}
	})
}

// sendData: nothing goes beyond the window that was offered, nor beyond what was written, and no segment is larger than the
// peer takes.
func (t *tap) sendData(a *app, s segment, end uint32, unit int) {
	if written := t.iss + 1 + uint32(a.sent); less(written, end) {
		a.w.failf("%v: sends up to %d, %d bytes were written", a, end-t.iss-1, a.sent)
	}
	if s.flags()&tcp.SYN != 0 {
		return
	}
	if t.open && less(t.room, end) {
		a.w.failf("%v: sends up to %d, the window that was offered ends at %d", a, end-t.iss-1, t.room-t.iss-1)
	}
	if most := max(t.peerMSS, 48); t.peerMSS > 0 && unit+len(s.options()) > most {
		a.w.failf("%v: sends %d bytes and %d of options, the peer takes %d", a, unit, len(s.options()), most)
	}
}

// acknowledge: only what was sent is acknowledged, what was SACKed is kept, and the right edge of the window does not retreat
// (RFC 9293, section 3.8.6.2.2; RFC 2018, section 8 allows to forget, but attacks.md does not).
func (t *tap) acknowledge(a *app, peer *tap, s segment) {
	ack := s.ack()
	if !peer.begun || less(peer.max, ack) {
		a.w.failf("%v: acknowledges %d, the peer sent up to %d", a, ack-peer.iss, peer.max-peer.iss)
	}
	edge := ack + uint32(s.window())
	if s.flags()&tcp.SYN == 0 && t.scale >= 0 && t.peerScale >= 0 {
		edge = ack + uint32(s.window())<<t.scale
	}
	if !t.acks {
		t.acks, t.ack, t.edge = true, ack, edge
	}
	over := peer.fin && ack == peer.max // nothing can follow, and TIME-WAIT keeps no window
	if s.flags()&tcp.SYN != 0 {
		edge = later(edge, t.edge) // its window has no scale and cannot say more than 65,535
	}
	if less(edge, t.edge) && !over {
		a.w.failf("%v: the right edge of its window retreats from %d to %d", a, t.edge-peer.iss, edge-peer.iss)
	}
	if less(ack, t.ack) {
		a.w.failf("%v: acknowledges %d after %d", a, ack-peer.iss, t.ack-peer.iss)
	}
	t.edge, t.ack = edge, ack
	t.forget(a, peer)
	eachOption(s.options(), func(o []byte) {
		if o[0] != optSACK {
			return
		}
		for b := o[2:]; len(b) >= 8; b = b[8:] {
			t.sack(a, peer, stretch{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])})
		}
	})
}

// forget drops what the acknowledgement has overtaken. It must not stop within what was SACKed: then some of it is gone.
func (t *tap) forget(a *app, peer *tap) {
	keep := t.sacked[:0]
	t.claimed = 0
	for _, x := range t.sacked {
		switch {
		case !less(t.ack, x.end):
			continue
		case !less(t.ack, x.start):
			a.w.failf("%v: acknowledges %d, but [%d, %d) was SACKed", a, t.ack-peer.iss, x.start-peer.iss, x.end-peer.iss)
		}
		keep = append(keep, x)
		t.claimed += int(x.end - x.start)
	}
	t.sacked = keep
}

// sack notes a block. Blocks below the acknowledgement report duplicates (RFC 2883).
func (t *tap) sack(a *app, peer *tap, x stretch) {
	if !less(x.start, x.end) || less(peer.max, x.end) {
		a.w.failf("%v: SACKs [%d, %d), the peer sent up to %d", a, x.start-peer.iss, x.end-peer.iss, peer.max-peer.iss)
	}
	if less(x.start, t.ack) {
		return
	}
	if x.start == t.ack {
		a.w.failf("%v: SACKs [%d, %d) and acknowledges only up to there", a, x.start-peer.iss, x.end-peer.iss)
	}
	keep := t.sacked[:0]
	for _, y := range t.sacked {
		if less(y.end, x.start) || less(x.end, y.start) {
			keep = append(keep, y)
			continue
		}
		if less(y.start, x.start) {
			x.start = y.start
		}
		x.end = later(x.end, y.end)
	}
	t.sacked = append(keep, x)
	t.claimed = 0
	for _, y := range t.sacked {
		t.claimed += int(y.end - y.start)
	}
}

// arrives looks at a packet that reaches an end, and returns whose it is.
func (w *world) arrives(e *end, b []byte, forged bool) *app {
	s := look(b)
	p, side := w.find(e.index, binary.BigEndian.Uint16(s.header[2:]), binary.BigEndian.Uint16(s.header))
	if p == nil {
		return nil
	}
	if !p.shared && !forged {
		p.taps[side].receive(&p.taps[1-side], s)
	}
	return p.apps[side]
}

// deceived: a listener answers a forged SYN for a flow that is over at this end. What it says is not for the other side.
func (w *world) deceived(e *end, b []byte) {
	s := look(b)
	p, _ := w.find(e.index, binary.BigEndian.Uint16(s.header[2:]), binary.BigEndian.Uint16(s.header))
	if p != nil && s.flags()&tcp.SYN != 0 {
		p.shared = true
	}
}

// begins: a listener has taken a segment for the begin of a connection. When it did so before, and that one is over, it is an old
// SYN, or an old segment with a SYN cookie, that makes another incarnation of the flow, or an answer that promises one. Usually it
// has another initial sequence number, which send sees; but a cookie has the same, and so has what is answered before a coarse
// clock has moved, and a challenge may leave before the SYN-ACK.
func (w *world) begins(e *end, a *app, f tcp.Flags, d tcp.Drop, before *tcp.Counters) {
	p, after := a.pair, e.table.Counters()
	if a.side == 0 || p.plan.simultaneous {
		return
	}
	answered := after.CookiesSent > before.CookiesSent
	made := after.CookiesAccepted > before.CookiesAccepted || d == tcp.DropNone && f&(tcp.SYN|tcp.ACK) == tcp.SYN && !answered
	if !made && !answered {
		return
	}
	t := &p.taps[1]
	if t.made != 0 && (t.begun || p.shared) {
		p.twins = p.twins || t.made == e.clock()
		if s := a.state; !p.shared && a.conn != nil && !a.over && s != tcp.TimeWait && a.conn.State() != tcp.Closed {
			w.failf("%v: a segment begins another connection beside it, which is in %v", a, s)
		}
		p.shared = true
	}
	if made {
		t.made = e.clock()
	}
}

// receive notes which window a segment offers.
func (t *tap) receive(peer *tap, s segment) {
	f := s.flags()
	if f&tcp.RST != 0 {
		return
	}
	scale := 0
	if f&tcp.SYN != 0 {
		t.peerScale = -1
		eachOption(s.options(), func(o []byte) {
			switch o[0] {
			case optScale:
				t.peerScale = int(o[2])
			case optMSS:
				t.peerMSS = max(t.peerMSS, int(binary.BigEndian.Uint16(o[2:]))) // another MTU makes another SYN
			}
		})
	} else if t.scale >= 0 && t.peerScale >= 0 {
		scale = t.peerScale
	}
	if f&tcp.ACK == 0 {
		return
	}
	room := s.ack() + uint32(s.window())<<scale
	if !t.open {
		t.open, t.room = true, room
	}
	t.room = later(t.room, room)
}
