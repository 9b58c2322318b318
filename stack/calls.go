package stack

import "tcpd/tcp"

const (
	// callsWrite is how much handlers write before it is sent: what they copied still is in the processor's cache then.
	callsWrite = 64 << 10
	// callsAtOnce is how often those that write less are called: pages that they empty are filled again while in the cache.
	callsAtOnce = 64
)

// calls are the connections whose handlers are to be called: those with news, and those that have more to do since their last
// call. News goes first, as it is what somebody waits for; who has more to do waits for himself.
type calls struct{ news, more fifo }

func (q *calls) len() int { return q.news.len() + q.more.len() }

// callLater queues a call of the connection's handler.
func (sh *shard) callLater(core *tcp.Conn, s *served, to *fifo) {
	if !s.queued {
		s.queued = true
		to.push(core)
	}
}

// call calls handlers that are queued. However much news there is, one that has more to do gets its turn.
func (sh *shard) call(now tcp.Time) {
	q := &sh.calls
	wrote := 0
	for n := 0; q.len() > 0 && n < callsAtOnce && wrote < callsWrite; n++ {
		from := &q.news
		if q.news.len() == 0 {
			from = &q.more
		}
		wrote += sh.callOne(now, from.pop())
	}
	if q.news.len() > 0 && q.more.len() > 0 {
		sh.callOne(now, q.more.pop())
	}
}

// callOne calls the handler of a connection that was queued, and returns how many bytes it wrote.
func (sh *shard) callOne(now tcp.Time, core *tcp.Conn) (wrote int) {
	s := sh.servedBy(core)
	if s == nil || !s.queued { // given up meanwhile
		return 0
	}
	s.queued = false
	c := &sh.event
	c.core, c.flow, c.now, c.cut, c.wrote = core, core.Flow(), now, false, 0
	more := s.handler.Ready(c)
	if c.core == nil {
		return c.wrote
	}
	c.giveBack()
	switch {
	case more:
		sh.callLater(core, s, &sh.calls.more)
	case !c.cut:
		sh.table.Await(core) // it may have left bytes that it can do nothing with yet
	}
	sh.table.SetMore(core, more || c.cut)
	return c.wrote
}

// fifo is a queue of connections.
type fifo struct {
	list []*tcp.Conn
	next int // those before it are gone
}

func (q *fifo) len() int { return len(q.list) - q.next }

func (q *fifo) push(c *tcp.Conn) { q.list = append(q.list, c) }

func (q *fifo) pop() *tcp.Conn {
	c := q.list[q.next]
	q.next++
	if 2*q.next > len(q.list) {
		n := copy(q.list, q.list[q.next:])
		q.list, q.next = q.list[:n], 0
	}
	return c
}
