package stack

import (
	"sync/atomic"

	"tcpd/tcp"
)

const (
	// standingAfter is how long reads of a queue may go on being full. A burst is gone by then; what is still there stands, and
	// everybody's packets wait behind it.
	standingAfter = 500 * tcp.Microsecond
	// standingGap is how far apart full reads may be and still be of one queue that stands: what is read has to be processed
	// between them.
	standingGap = 4 * standingAfter
)

// backlog knows since when reads of a queue of the link have been full. Its readers write it, whoever they are.
type backlog struct{ since, last atomic.Int64 }

// read takes note that n packets were read with room for a batch. None at all tells nothing: somebody else may be reading.
func (b *backlog) read(now tcp.Time, n int) {
	switch {
	case n >= batch:
		last := tcp.Time(b.last.Swap(int64(now)))
		if b.since.Load() == 0 || now.Sub(last) > standingGap {
			b.since.Store(int64(now))
		}
	case n > 0:
		b.since.Store(0)
	}
}

// standing reports whether packets wait for longer than they should.
func (b *backlog) standing(now tcp.Time) bool {
	since := tcp.Time(b.since.Load())
	return since != 0 && now.Sub(since) > standingAfter && now.Sub(tcp.Time(b.last.Load())) <= standingGap
}
