package tcp

// Census counts the connections and the handshakes under way of all tables that share their limits.
type Census interface {
	// Connections and HalfOpen return how many there are.
	Connections() int
	HalfOpen() int
	// Count adds to them; a negative number takes away.
	Count(connections, halfOpen int)
}

// count adds to the connections and handshakes.
func (t *Table) count(connections, halfOpen int) {
	t.nConns += connections
	t.nHalves += halfOpen
	if t.cfg.Census != nil {
		t.cfg.Census.Count(connections, halfOpen)
	}
}

// connsFull reports that there is no room for another connection.
func (t *Table) connsFull() bool {
	n := t.nConns
	if t.cfg.Census != nil {
		n = t.cfg.Census.Connections()
	}
	return n >= t.cfg.Connections
}

// halvesFull reports that there is no room for another handshake.
func (t *Table) halvesFull() bool {
	n := t.nHalves
	if t.cfg.Census != nil {
		n = t.cfg.Census.HalfOpen()
	}
	return n >= t.cfg.HalfOpen
}
