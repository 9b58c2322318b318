package stack

import "tcpd/tcp"

const (
	// lendFrom is the size from which on bytes are copied without the lock: less is copied sooner than the lock is taken again.
	lendFrom = 4 << 10
	// lendMost is what one Read, or one piece of a Write, copies: large enough for two super-packets, small enough to stay in a
	// processor's own cache on its way.
	lendMost = 128 << 10
	// lendPieces is into how many pieces the pages of so many bytes can fall: each has 4 KiB, the first and last are cut.
	lendPieces = lendMost>>12 + 1
)

// readLent reads what is there, copying without the lock. The caller is the only one who reads; see side.
func (c *Conn) readLent(now *tcp.Time, b []byte) (n int, err error) {
	var pieces [lendPieces][]byte
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
	var pieces [lendPieces][]byte
	sh, core := c.shard, c.core
	room, err := sh.table.Reserve(core, len(b), pieces[:0])
	if len(room) == 0 {
		return 0, err
	}
	sh.mu.Unlock()
	for _, p := range room {
		n += copy(p, b[n:])
	}
	*now = sh.lock()
	if err := sh.table.Commit(core, n); err != nil {
		if ended := c.open(); ended != nil {
			return 0, ended
		}
		return 0, err
	}
	return n, nil
}

func lengthOf(pieces [][]byte) (n int) {
	for _, p := range pieces {
		n += len(p)
	}
	return n
}
