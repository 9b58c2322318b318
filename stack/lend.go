package stack

import "tcpd/tcp"

const (
	// lendFrom is the size from which on bytes are copied without the lock: less is copied sooner than the lock is taken again.
	lendFrom = 4 << 10
	// lendRead is what one Read copies: large enough for two super-packets, small enough to stay in a processor's own cache.
	lendRead = 128 << 10
	// lendWrite is what one piece of a Write copies before it is sent. A peer that is faster than we are sleeps while we copy, and is
	// woken by the first packet that follows, which costs as much as two packets: the more follow, the fewer wake-ups there are. It
	// fits into two super-packets of 256 KiB, or eight of 64, with segments of up to 9,000 bytes: a rest would be a packet of its own.
	lendWrite = 480 << 10
	// lookAfter is how much of a piece is copied before somebody looks for arrivals: others wait for no more than that.
	lookAfter = 128 << 10
	// A page has 4 KiB, and the first and the last of so many bytes are cut.
	readPieces, writePieces = lendRead>>12 + 1, lendWrite>>12 + 1
)

// readLent reads what is there, copying without the lock. The caller is the only one who reads; see side.
func (c *Conn) readLent(now *tcp.Time, b []byte) (n int, err error) {
	var pieces [readPieces][]byte
	sh, core := c.shard, c.core
	view, err := sh.table.Peek(core, len(b), pieces[:0])
	if len(view) == 0 {
		return 0, err
	}
	alone := lengthOf(view) < lendFrom
	if !alone {
		sh.mu.Unlock()
	}
	for _, p := range view {
		n += copy(b[n:], p)
	}
	if !alone {
		*now = sh.lock()
	}
	sh.table.Consume(*now, core, n)
	return n, nil
}

// writeLent writes what has room, copying without the lock. The caller is the only one who writes; see side.
func (c *Conn) writeLent(now *tcp.Time, b []byte) (n int, err error) {
	var pieces [writePieces][]byte
	sh, core := c.shard, c.core
	room, err := sh.table.Reserve(core, len(b), pieces[:0])
	if len(room) == 0 {
		return 0, err
	}
	sh.mu.Unlock()
	n = sh.fill(room, b)
	*now = sh.lock()
	if err := sh.table.Commit(core, n); err != nil {
		if ended := c.open(); ended != nil {
			return 0, ended
		}
		return 0, err
	}
	return n, nil
}

// fill copies b into room as far as that goes, without the lock, and looks for arrivals meanwhile.
func (sh *shard) fill(room [][]byte, b []byte) (n int) {
	look := lookAfter
	for _, p := range room {
		if n >= look {
			look = n + lookAfter
			sh.stack.guests[sh.queue()].glance(sh)
		}
		n += copy(p, b[n:])
	}
	return n
}

func lengthOf(pieces [][]byte) (n int) {
	for _, p := range pieces {
		n += len(p)
	}
	return n
}
