package stack

import (
	"sync/atomic"

	"tcpd/tcp"
)

// standingAfter is how long a queue may go without being found empty. A burst is gone by then; what is still there stands,
// and everybody's packets wait behind it.
const standingAfter = 500 * tcp.Microsecond

// backlog knows when a queue of the link was last found empty. Its readers write it, whoever they are.
type backlog struct{ empty atomic.Int64 }

// read takes note that n packets were read with room for a batch. None at all tells nothing: somebody else may be reading.
func (b *backlog) read(now tcp.Time, n int) {
	if n > 0 && n < batch {
		b.empty.Store(int64(now))
	}
}

// standing reports whether packets wait for longer than they should.
func (b *backlog) standing(now tcp.Time) bool {
	return now.Sub(tcp.Time(b.empty.Load())) > standingAfter
}
