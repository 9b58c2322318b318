package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// load is a set of connections to an echo service that are never idle and compare every byte, while a test does something to
// the daemon that must not disturb them.
type load struct {
	streams []*loadStream
	ended   chan error // one value a stream
	halt    atomic.Bool
}

type loadStream struct {
	conn   *net.TCPConn
	rounds atomic.Int64
}

// runLoad connects four times to each of the addresses.
func runLoad(t *testing.T, ns *namespace, addresses ...string) *load {
	t.Helper()
	return runStreams(t, ns, 4, addresses...)
}

// runStreams connects n times to each of the addresses.
func runStreams(t *testing.T, ns *namespace, n int, addresses ...string) *load {
	t.Helper()
	l := &load{ended: make(chan error, n*len(addresses))}
	for i := range n * len(addresses) {
		s := &loadStream{conn: ns.connect(t, addresses[i%len(addresses)])}
		l.streams = append(l.streams, s)
		go func() { l.ended <- s.run(uint64(i), &l.halt) }()
	}
	return l
}

// run exchanges rounds until it is told to halt or something is wrong.
func (s *loadStream) run(seed uint64, halt *atomic.Bool) error {
	const most = 256 * kiB
	data := content(seed, 1<<62)
	out, in := make([]byte, most), make([]byte, most)
	for round := int64(0); !halt.Load(); round = s.rounds.Add(1) {
		size := 1 + (round*7919)%most // from a byte to several super-packets
		io.ReadFull(data, out[:size])
		sent := make(chan error, 1)
		go func() {
			_, err := s.conn.Write(out[:size])
			sent <- err
		}()
		_, err := io.ReadFull(s.conn, in[:size])
		if err := errors.Join(err, <-sent); err != nil {
			return fmt.Errorf("round %d of the stream from %v: %w", round, s.conn.LocalAddr(), err)
		}
		if !bytes.Equal(in[:size], out[:size]) {
			return fmt.Errorf("round %d of the stream from %v: other bytes came back than were sent", round, s.conn.LocalAddr())
		}
	}
	return nil
}

// progress waits until every stream has done a good number of further rounds.
func (l *load) progress(t *testing.T) {
	t.Helper()
	for _, s := range l.streams {
		s.conn.SetDeadline(time.Now().Add(hung))
	}
	const further = 20
	goals := make([]int64, len(l.streams))
	for i, s := range l.streams {
		goals[i] = s.rounds.Load() + further
	}
	eventually(t, hung, "every stream under load goes on", func() bool {
		select {
		case err := <-l.ended:
			t.Fatalf("a stream under load ended: %v", err)
		default:
		}
		for i, s := range l.streams {
			if s.rounds.Load() < goals[i] {
				return false
			}
		}
		return true
	})
}

// stop ends the load. Every stream must have been well until then.
func (l *load) stop(t *testing.T) {
	t.Helper()
	l.halt.Store(true)
	for range l.streams {
		if err := next(t, l.ended, "the end of a stream under load"); err != nil {
			t.Error(err)
		}
	}
	for _, s := range l.streams {
		s.conn.Close()
	}
}

// abandon ends the load of a daemon that is gone.
func (l *load) abandon() {
	l.halt.Store(true)
	for _, s := range l.streams {
		s.conn.Close()
	}
}
