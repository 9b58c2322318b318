package tcp

import "fmt"

// State is a connection state of RFC 9293, section 3.3.2.
type State uint8

// The states. LISTEN belongs to listeners, not to connections; it is here for completeness of the names.
const (
	Closed State = iota
	Listen
	SynSent
	SynReceived
	Established
	FinWait1
	FinWait2
	CloseWait
	Closing
	LastAck
	TimeWait
	numStates
)

var stateNames = [numStates]string{
	"CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING",
	"LAST-ACK", "TIME-WAIT",
}

func (s State) String() string {
	if s < numStates {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// states is a set of states, one bit each.
type states uint16

func setOf(list ...State) states {
	var s states
	for _, x := range list {
		s |= 1 << x
	}
	return s
}

func (s states) has(x State) bool { return s>>x&1 != 0 }

var (
	// synchronized states: both ends know each other's sequence numbers.
	synchronized = setOf(Established, FinWait1, FinWait2, CloseWait, Closing, LastAck, TimeWait)
	// receiving states: the peer has not said FIN.
	receiving = setOf(Established, FinWait1, FinWait2)
	// sending states: we have not sent FIN, the application may write.
	sending = setOf(Established, CloseWait)
)

// transitions is the diagram of RFC 9293, section 3.3.2 (figure 5), with the arrows to CLOSED that resets, aborts and
// time-outs add. What is not here does not happen.
var transitions = [numStates]states{
	Closed:      setOf(SynSent, SynReceived, Established),
	SynSent:     setOf(SynReceived, Established, Closed),
	SynReceived: setOf(Established, FinWait1, CloseWait, Closed),
	Established: setOf(FinWait1, CloseWait, Closed),
	FinWait1:    setOf(FinWait2, Closing, TimeWait, Closed),
	FinWait2:    setOf(TimeWait, Closed),
	CloseWait:   setOf(LastAck, Closed),
	Closing:     setOf(TimeWait, Closed),
	LastAck:     setOf(Closed),
	TimeWait:    setOf(Closed),
}

// setState is the only writer of a connection's state.
func (t *Table) setState(c *Conn, s State) {
	if !transitions[c.state].has(s) {
		panic(fmt.Sprintf("tcp: %v: no transition from %v to %v", c.flow, c.state, s))
	}
	if c.recorder != 0 || t.recorders.most != 0 && s != Closed {
		if r := t.recorder(c); r != nil { // which is made while the path so far is known
			r.step(s)
		}
	}
	c.state = s
}
