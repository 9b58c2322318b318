package world

import (
	"slices"

	"tcpd/tcp"
)

// cause is what can change the state of a connection.
type cause uint8

const (
	byArrival cause = iota
	byCall
	byTimer
)

// arrows is the diagram of RFC 9293, section 3.3.2 (figure 5), by cause. It is written down once more here, because the one
// in package tcp is what is to be checked. One arrival may bring an ACK and a FIN and so follow two arrows.
var arrows = map[cause]map[tcp.State][]tcp.State{
	byArrival: {
		tcp.SynSent:     {tcp.SynReceived, tcp.Established, tcp.FinWait1}, // CLOSE may have been called already
		tcp.SynReceived: {tcp.Established, tcp.CloseWait, tcp.FinWait1, tcp.FinWait2, tcp.Closing, tcp.TimeWait},
		tcp.Established: {tcp.CloseWait},
		tcp.FinWait1:    {tcp.FinWait2, tcp.Closing, tcp.TimeWait},
		tcp.FinWait2:    {tcp.TimeWait},
		tcp.Closing:     {tcp.TimeWait},
	},
	byCall: {
		tcp.SynReceived: {tcp.FinWait1},
		tcp.Established: {tcp.FinWait1},
		tcp.CloseWait:   {tcp.LastAck},
	},
	byTimer: {},
}

// watch looks at the state of the connection after an event, and objects to one that the diagram does not lead to. RST,
// Abort and time-outs lead to CLOSED from everywhere.
func (a *app) watch(c cause) {
	if a.conn == nil || a.over {
		return
	}
	was, is := a.state, a.conn.State()
	a.state = is
	if is == was || is == tcp.Closed {
		return
	}
	if slices.Contains(arrows[c][was], is) || a.pair.shared && slices.Contains(arrows[byArrival][was], is) {
		return // of a flow that is used again, what arrives is looked at for the newer connection
	}
	a.w.failf("%v: goes from %v to %v (%v)", a, was, is, [...]string{"arrival", "call", "timer"}[c])
}
