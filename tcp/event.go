package tcp

// EventKind says what happened.
type EventKind uint8

// The kinds of events.
const (
	EventReadable    EventKind = iota // Read returned nothing, now it returns something
	EventWritable                     // Write returned nothing, now it takes something
	EventConnected                    // an active open ended; see Conn.Err
	EventAcceptable                   // Accept has something
	EventAttempt                      // NextAttempt has something
	EventAttemptDone                  // an attempt ended: Conn, or nil when it failed or the peer gave up
	EventReport                       // Info tells something new: Urgent, SoftError, or that Retries reached reportRetries
)

type eventSet uint8

// Event is news for the runtime.
type Event struct {
	Kind     EventKind
	Conn     *Conn
	Listener ListenerID
	Attempt  AttemptID
}

// Events is a poll out: what happened since the last call. The slice is valid until the next call of any method.
func (t *Table) Events() []Event {
	ev := t.events
	for i := range ev {
		if ev[i].Conn != nil {
			ev[i].Conn.signalled = 0
		}
	}
	t.events = t.events[:0]
	return ev
}

// signal raises an event of c, once until it is taken.
func (t *Table) signal(c *Conn, k EventKind) {
	if c.released || c.signalled>>k&1 != 0 {
		return
	}
	c.signalled |= 1 << k
	t.events = append(t.events, Event{Kind: k, Conn: c})
}

// readable wakes who waits to read.
func (t *Table) readable(c *Conn) {
	if c.wantRead {
		c.wantRead = false
		t.signal(c, EventReadable)
	}
}

// maxWritableStep is room worth a wake-up however large the buffer is: who is woken later than that writes so much at once
// that the connection runs dry before, and others wait behind.
const maxWritableStep = 256 << 10

// writable wakes who waits to write, once there is room worth a wake-up.
func (t *Table) writable(c *Conn) {
	if c.wantWrite && (c.failure != 0 || c.sendRoom() >= c.writableStep()) {
		c.wantWrite = false
		t.signal(c, EventWritable)
	}
}

func (c *Conn) writableStep() int {
	if c.shortPath() {
		return min(c.sendLimit()/3, c.waitLimit()/2, maxWritableStep)
	}
	return min(c.sendLimit()/3, maxWritableStep)
}

// acceptable tells that l has something to accept.
func (t *Table) acceptable(l *listener, k EventKind) {
	if !l.raised {
		l.raised = true
		t.events = append(t.events, Event{Kind: k, Listener: t.id(l)})
	}
}
