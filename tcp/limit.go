package tcp

// Limit says what keeps a connection from sending more.
type Limit uint8

// The limits. Everything but LimitIdle is time in which data is under way or waits.
const (
	LimitIdle   Limit = iota // there is nothing to send, and everything is acknowledged
	LimitApp                 // the application has written no more
	LimitWindow              // the peer's window
	LimitCwnd                // the congestion window
	LimitBuffer              // the application waits for room in the send buffer
	LimitPacing              // the pacing rate
	LimitMemory              // the application waits for room, and the memory budget is nearly used up
	numLimits
)

func (l Limit) String() string {
	return [...]string{"idle", "application", "receive window", "congestion window", "send buffer", "pacing", "memory"}[l]
}

// limits adds up how long each of them held.
type limits struct {
	now   Limit
	since Time
	spent [numLimits]Duration
}

// note is called when c has nothing to send for the moment.
func (l *limits) note(now Time, c *Conn, m Memory) {
	k := c.limitedBy()
	if k == LimitBuffer && m.Pressure() {
		k = LimitMemory
	}
	if k != l.now || l.since == 0 {
		l.stop(now)
		l.now, l.since = k, now
	}
}

func (l *limits) stop(now Time) {
	if l.since != 0 {
		l.spent[l.now] += now.Sub(l.since)
	}
	l.since = 0
}

// limitedBy: of two windows that both hold, it is the one that ends first.
func (c *Conn) limitedBy() Limit {
	unsent := c.unsent()
	switch {
	case unsent == 0 && c.flight.empty():
		return LimitIdle
	case c.deadlines[timerPace] != 0:
		return LimitPacing
	case unsent > 0 && c.snd.windowRoom() < min(unsent, max(c.cwndRoom(), int(c.snd.mss))):
		return LimitWindow
	case unsent > 0 && c.ecn.hold || unsent > 0 && c.cwndRoom() < min(unsent, int(c.snd.mss)) || c.flight.lost > 0:
		return LimitCwnd
	case c.wantWrite:
		return LimitBuffer
	}
	return LimitApp
}

// after returns what was spent until now.
func (l *limits) after(now Time, c *Conn) [numLimits]Duration {
	s := *l
	if !c.detached {
		s.stop(now)
	}
	return s.spent
}
