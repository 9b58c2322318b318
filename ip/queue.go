package ip

// The queues that a datagram is in at the same time.
const (
	linkAge = iota
	linkSource
)

// queue is a list of datagrams by age, linked through the datagrams themselves so that any leaves at once.
type queue struct {
	link           int
	oldest, newest *datagram
}

func (q *queue) push(g *datagram) {
	l := &g.links[q.link]
	l.older = q.newest
	if q.newest == nil {
		q.oldest = g
	} else {
		q.newest.links[q.link].newer = g
	}
	q.newest = g
}

func (q *queue) remove(g *datagram) {
	l := &g.links[q.link]
	if l.older == nil {
		q.oldest = l.newer
	} else {
		l.older.links[q.link].newer = l.newer
	}
	if l.newer == nil {
		q.newest = l.older
	} else {
		l.newer.links[q.link].older = l.older
	}
	l.older, l.newer = nil, nil
}
