package world

import (
	"bytes"

	"tcpd/tcp"
)

// loan is what the table has lent to an application: received bytes, or room for bytes to be sent. The application may keep
// it for a while, and even give the connection up meanwhile.
type loan struct {
	n      int
	pieces [][]byte
}

func (a *app) table() *tcp.Table { return a.w.ends[a.end].table }

// peek reads without a copy, and reports whether that brought anything.
func (a *app) peek() (n int, err error) {
	l := &a.peeked
	l.pieces, err = a.table().Peek(a.conn, a.plan.read, l.pieces[:0])
	for _, b := range l.pieces {
		n += len(b)
	}
	if n == 0 {
		return 0, err
	}
	l.n = n
	a.inspect()
	if a.w.more.chance(0.2) { // a copy takes its time
		a.ready(a.w.more.upTo(20 * tcp.Millisecond))
		return 0, nil
	}
	a.consume()
	return n, nil
}

// inspect compares what was lent with what the peer wrote.
func (a *app) inspect() {
	at := a.got
	for _, b := range a.peeked.pieces {
		for len(b) > 0 {
			k := min(len(b), maxCall)
			if !bytes.Equal(b[:k], content(a.expect, at, k)) {
				a.w.failf("%v: of the %d bytes lent from %d on some are not what the peer wrote", a, a.peeked.n, a.got)
			}
			b, at = b[k:], at+k
		}
	}
}

// consume gives back what was lent to read. It must not have changed.
func (a *app) consume() {
	n := a.peeked.n
	if n == 0 {
		return
	}
	a.inspect()
	a.peeked.n = 0
	a.table().Consume(a.clock(), a.conn, n)
	if !a.over {
		a.received(n)
	}
}

// reserve writes without a copy.
func (a *app) reserve(n int) (int, error) {
	l := &a.reserved
	var err error
	l.pieces, err = a.table().Reserve(a.conn, n, l.pieces[:0])
	k, at := 0, a.sent
	for _, b := range l.pieces {
		k += len(b)
		for len(b) > 0 {
			m := copy(b, content(a.key, at, min(len(b), maxCall)))
			b, at = b[m:], at+m
		}
	}
	if k == 0 {
		return 0, err
	}
	if k > n {
		a.w.failf("%v: %d bytes reserved, %d asked for", a, k, n)
	}
	l.n = k
	if a.w.more.chance(0.2) {
		l.n -= a.w.more.IntN(k) // it has less to say than it thought
		a.ready(a.w.more.upTo(20 * tcp.Millisecond))
		return 0, nil
	}
	return a.commit()
}

// commit gives back what was lent to write.
func (a *app) commit() (int, error) {
	n := a.reserved.n
	if n == 0 {
		return 0, nil
	}
	a.reserved.n = 0
	err := a.table().Commit(a.conn, n)
	if err != nil || a.over {
		return 0, err
	}
	a.sent += n
	return n, nil
}

// settle gives back what the application had kept.
func (a *app) settle() {
	a.consume()
	if n, err := a.commit(); !a.over {
		a.wrote(n, err)
	}
}
