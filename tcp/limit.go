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

// limits adds up how long each of them held: the application here, the others, which connections of few bytes do not meet, in
// what congestion control remembers.
type limits struct {
	since Time // the one in Conn.limit holds
	app   Duration
}

// noteLimit is called when c has nothing to send for the moment.
func (t *Table) noteLimit(now Time, c *Conn) {
	k := c.limitedBy()
	if k == LimitBuffer && t.cfg.Memory.Pressure() {
		k = LimitMemory
	}
	l := &c.limits
	if k == c.limit && l.since != 0 {
		return
	}
	if k > LimitApp {
		t.remembers(c)
	}
	switch spent := l.until(now); {
	case c.limit > LimitApp:
		c.cc.limitSpent[c.limit] += spent
	case c.limit == LimitApp:
		l.app += spent
	}
	c.limit, l.since = k, now
}

func (l *limits) until(now Time) Duration {
	if l.since == 0 {
		return 0
	}
	return now.Sub(l.since)
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

// limitedFor returns what was spent until now.
func (c *Conn) limitedFor(now Time) [numLimits]Duration {
	s := c.cc.limitSpent
	s[LimitApp] = c.limits.app
	if !c.detached {
		s[c.limit] += c.limits.until(now)
	}
	return s
}
