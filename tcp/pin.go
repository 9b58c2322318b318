package tcp

// pins are the directions in which an application copies bytes outside of the table's calls. Meanwhile the pages stay where
// they are, also when the connection ends, and its record with them.
type pins uint8

const (
	pinRead pins = 1 << iota
	pinWrite
	pinFree // the record goes with the last pin
)

func (p pins) has(x pins) bool { return p&x != 0 }

// Peek is an application call: Read without the copy. It appends to dst, as they lie in their pages, up to n of the received
// bytes. If there are any they are borrowed until Consume, which has to follow; no other call may read from c before.
func (t *Table) Peek(c *Conn, n int, dst [][]byte) ([][]byte, error) {
	n, err := c.unread(n)
	if n == 0 {
		return dst, err
	}
	c.pinned |= pinRead
	return c.rcv.buf.slices(&t.pool, c.rcv.buf.front, n, dst), nil
}

// Consume is an application call: it ends what Peek began, and removes the first n of the bytes.
func (t *Table) Consume(now Time, c *Conn, n int) {
	if t.unpin(c, pinRead) && n > 0 {
		t.take(now, c, n)
	}
}

// Reserve is an application call: Write without the copy. It appends to dst room for up to n bytes. If there is any it is lent
// until Commit, which has to follow; no other call may write to c before.
func (t *Table) Reserve(c *Conn, n int, dst [][]byte) ([][]byte, error) {
	if err := c.writeErr(); err != nil {
		return dst, err
	}
	k := t.roomToSend(c, min(n, c.sendRoom()))
	c.wantWrite = c.wantWrite || k < n
	if k > 0 {
		c.pinned |= pinWrite
		return c.snd.buf.slices(&t.pool, c.snd.buf.end(), k, dst), nil
	}
	t.rest(c)
	if n > 0 && c.snd.buf.len == 0 {
		return dst, ErrMemory // nothing is under way that could make room
	}
	return dst, nil
}

// roomToSend takes the pages of n bytes more, as far as memory lets it; see keepToSend.
func (t *Table) roomToSend(c *Conn, n int) (k int) {
	if n == 0 || !t.engage(c) {
		return 0
	}
	s := &c.snd.buf
	for k < n {
		step := min(n-k, pressedSendBuffer)
		if t.cfg.Memory.Pressure() {
			step = min(step, max(pressedSendBuffer-int(s.len)-k, 0))
		}
		got := s.cover(&t.pool, s.end().Add(k), step)
		k += got
		if got < pressedSendBuffer {
			break
		}
	}
	return k
}

// Commit is an application call: it ends what Reserve began; the first n bytes are filled and follow what was written before.
// The error is that of a connection that has ended meanwhile: none of the bytes will be sent.
func (t *Table) Commit(c *Conn, n int) error {
	if !t.unpin(c, pinWrite) {
		return ErrClosed
	}
	if c.detached {
		c.snd.buf.clear(&t.pool)
	}
	err := c.writeErr()
	if err == nil {
		c.snd.buf.len += uint32(n)
		t.want(c) // n may be 0: what waited for it may leave
	}
	c.snd.buf.trim(&t.pool, false)
	t.rest(c)
	return err
}

// unpin reports whether the record still is the connection's.
func (t *Table) unpin(c *Conn, p pins) bool {
	c.pinned &^= p
	if !c.pinned.has(pinFree) {
		return true
	}
	if c.pinned == pinFree {
		c.pinned = 0
		t.free(c)
	}
	return false
}
