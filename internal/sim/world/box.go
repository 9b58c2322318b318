package world

import (
	"encoding/binary"

	"tcpd/ip"
	"tcpd/tcp"
)

// middlebox is what a box on the path does to headers.
type middlebox struct {
	strip  []byte // kinds of options it removes from SYNs
	mss    int    // it lowers the MSS to this; 0: not
	window int    // it lowers the window field of every segment to this; 0: not
}

// pass applies the box to a packet before it leaves. The checksum of a packet of ours is that of the pseudo-header only.
func (m *middlebox) pass(o *ip.Outgoing) {
	t := o.Header[o.NetworkLen:]
	if m.window > 0 {
		v := min(binary.BigEndian.Uint16(t[atWindow:]), uint16(m.window))
		binary.BigEndian.PutUint16(t[atWindow:], v)
	}
	if tcp.Flags(t[atFlags])&tcp.SYN == 0 {
		return
	}
	eachOption(t[tcpHeader:], func(option []byte) {
		for _, kind := range m.strip {
			if option[0] == kind {
				for i := range option[1:] {
					option[i+1] = 1
				}
				option[0] = 1
				return
			}
		}
		if option[0] == optMSS && m.mss > 0 {
			v := min(binary.BigEndian.Uint16(option[2:]), uint16(m.mss))
			binary.BigEndian.PutUint16(option[2:], v)
		}
	})
}

// natPlan is a translator that forgets a connection in the middle of its life: from then on the opener appears with another
// port, and what is sent to the old one gets lost. The responder resets what it does not know.
type natPlan struct {
	conn int
	at   tcp.Time // 0: never
	port uint16   // the opener's new port
}

// translate applies the translator to a packet that leaves an end, and reports whether it passes.
func (w *world) translate(from int, o *ip.Outgoing) bool {
	n := &w.plan.nat
	if n.at == 0 || w.now < n.at || len(w.pairs) <= n.conn {
		return true
	}
	p := w.pairs[n.conn]
	if p.shared || p.apps[1].conn == nil { // while the handshake lasts the new port would make a connection of its own
		return true
	}
	t := o.Header[o.NetworkLen:]
	be := binary.BigEndian
	source, destination, outward := be.Uint16(t), be.Uint16(t[2:]), from == p.plan.opener
	switch {
	case outward && source == p.flow.LocalPort && destination == p.flow.RemotePort:
		be.PutUint16(t, n.port)
		p.forgotten()
	case !outward && destination == n.port:
		be.PutUint16(t[2:], p.flow.LocalPort)
	case !outward && destination == p.flow.LocalPort && source == p.flow.RemotePort:
		p.forgotten()
		return false
	}
	return true
}

// forgotten: what the responder says from now on is about another connection, and the taps cannot tell.
func (p *pair) forgotten() { p.rebound, p.shared = true, true }
