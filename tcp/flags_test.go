package tcp

import "testing"

// reach brings the conversation into a state, with as many sequence numbers used as it takes: seq and ack are what the next
// segment of the peer has, if it acknowledges everything.
func (c *talk) reach(s State) (seq, ack int) {
	c.Helper()
	switch s {
	case Closed:
		return 0, 0
	case Listen:
		c.listen(ListenOptions{})
		return 0, 0
	case SynSent:
		c.connect(Options{})
		c.discard()
		return 0, 1
	case SynReceived:
		c.reach(SynSent)
		c.send(seg{flags: SYN, opts: plain.syn(0)})
		c.discard()
		return 1, 1
	}
	c.accepted(plain)
	c.closeInto(s)
	c.discard()
	c.events = nil
	if s != TimeWait {
		c.wantState("on the way", s)
	}
	return 1 + map[bool]int{true: 1}[!receiving.has(s)], 1 + map[bool]int{true: 1}[!sending.has(s)]
}

// closeInto takes an established connection to a closing state.
func (c *talk) closeInto(s State) {
	c.Helper()
	switch s {
	case FinWait1, FinWait2, Closing, TimeWait:
		c.closeWrite()
	case CloseWait, LastAck:
		c.send(seg{flags: FIN | ACK, seq: 1, ack: 1})
	}
	switch s {
	case FinWait2, TimeWait:
		c.send(seg{flags: ACK, seq: 1, ack: 2})
	case Closing:
		c.send(seg{flags: FIN | ACK, seq: 1, ack: 1})
	case LastAck:
		c.closeWrite()
	}
	if s == TimeWait {
		c.send(seg{flags: FIN | ACK, seq: 1, ack: 2})
	}
}

// outcome says what a segment with everything in order but its flags does: the state after it and the answer.
type outcome struct {
	state  State
	answer Flags // 0: none
}

// fateOf is the oracle: RFC 9293, section 3.10.7, in a few lines.
func fateOf(s State, f Flags) outcome {
	silent := outcome{s, 0}
	switch {
	case s == Closed && f&(SYN|RST|ACK|FIN) == 0:
		return outcome{s, RST | ACK}
	case f&(SYN|RST|ACK|FIN) == 0, f.has(SYN | FIN), f.has(SYN | RST):
		return silent // nonsense (attack class H07)
	case s == Closed && f.has(RST), s == Listen && f.has(RST):
		return silent
	case s == Closed && f.has(ACK), s == Listen && f.has(ACK):
		return outcome{s, RST}
	case s == Closed:
		return outcome{s, RST | ACK}
	case s == Listen && f.has(SYN|ECE|CWR):
		return outcome{s, SYN | ACK | ECE} // RFC 3168, section 6.1.1
	case s == Listen && f.has(SYN):
		return outcome{s, SYN | ACK}
	case s == Listen:
		return silent
	case s == SynSent:
		return fateInSynSent(f)
	case s == TimeWait && f.has(SYN):
		return outcome{s, ACK} // its sequence number is not beyond the old ones
	case s == TimeWait && f.has(ACK|FIN) && !f.has(RST):
		return outcome{s, ACK}
	case s == TimeWait:
		return silent
	case f.has(RST):
		return outcome{Closed, 0}
	case f.has(SYN):
		return outcome{s, ACK} // a challenge (RFC 5961, section 4)
	case !f.has(ACK):
		return silent
	}
	return fateOfAck(s, f.has(FIN))
}

func fateInSynSent(f Flags) outcome {
	switch {
	case f.has(RST | ACK):
		return outcome{Closed, 0}
	case f.has(RST), !f.has(SYN):
		return outcome{SynSent, 0}
	case f.has(ACK):
		return outcome{Established, ACK}
	}
	return outcome{SynReceived, SYN | ACK}
}

func fateOfAck(s State, fin bool) outcome {
	if fin {
		switch s {
		case SynReceived, Established:
			return outcome{CloseWait, ACK}
		case FinWait1, FinWait2:
			return outcome{TimeWait, ACK}
		}
	}
	next := map[State]State{SynReceived: Established, FinWait1: FinWait2, Closing: TimeWait, LastAck: Closed}
	if n, ok := next[s]; ok {
		return outcome{n, 0}
	}
	return outcome{s, 0}
}

func (c *talk) currentState(was State) State {
	switch {
	case c.conn != nil:
		return c.conn.State()
	case was == Listen:
		return Listen
	}
	return Closed
}

func TestAttack_H07_everyFlagInEveryState(t *testing.T) {
	for s := range numStates {
		for f := range 256 {
			for i, flow := range peerFlows {
				c := newTalk(t, Config{}, flow)
				seq, ack := c.reach(s)
				w := fateOf(s, Flags(f))
				c.send(seg{flags: Flags(f), seq: seq, ack: ack})
				got := outcome{state: c.currentState(s)}
				if len(c.inbox) > 0 {
					got.answer = c.inbox[0].flags
				}
				if got != w || len(c.inbox) > 1 {
					t.Errorf("family %d, %v, flags %q: want %v and answer %q, got %v and %q (%d answers)",
						i, s, Flags(f), w.state, w.answer, got.state, got.answer, len(c.inbox))
				}
			}
		}
	}
}

// Whatever arrives, with numbers at every interesting place: nothing panics, every invariant holds, and a RST is answered by
// a challenge at most.
func TestAttack_H07_everyFlagEverywhere(t *testing.T) {
	offsets := []int{-1, 0, 1, 65535, 65536, -1 << 31}
	for s := range numStates {
		for f := range 64 {
			c := newTalk(t, Config{}, peerFlows[f&1])
			c.quiet = true
			seq, ack := c.reach(s)
			for i, so := range offsets {
				for _, ao := range offsets {
					c.send(seg{flags: Flags(f), seq: seq + so, ack: ack + ao, len: i % 3 * 10})
					if Flags(f).has(RST) && len(c.inbox) > 0 && c.inbox[0].flags != ACK {
						t.Fatalf("%v: a RST was answered with %v", s, c.inbox[0].flags)
					}
					c.discard()
				}
			}
		}
	}
}
