package service

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// salvageTime is how long the bytes that a broken connection has left may take to reach the other one.
const salvageTime = 5 * time.Second

// relay carries two streams between a client and a backend, and their ends with them:
//
//   - FIN is carried as FIN, after the last byte; the other direction goes on.
//   - FIN both ways ends the relay in order.
//   - Anything else (RST, timeout, an error, silence after a FIN) ends both connections with a RST, so that a cut stream
//     never looks complete.
//
// A UNIX socket has no RST. Its peer sees EOF where a RST would be; and a backend's process that dies looks as if it had
// closed, unless it left bytes unread.
type relay struct {
	client, backend side
	halfClose       time.Duration
	log             Log

	mu    sync.Mutex
	ended int         // directions that ended with FIN
	end   Reason      // Finished until something fails; the first failure stays
	gone  bool        // both connections are closed
	timer *time.Timer // nil until a direction has ended or a Write has failed
}

// side is one of the two connections.
type side struct {
	conn     net.Conn
	in       inbox
	failures failures
	shut     atomic.Bool // we sent FIN, or are about to
}

func newRelay(client, backend net.Conn, halfClose time.Duration, log Log) *relay {
	r := &relay{halfClose: halfClose, log: log, end: Finished}
	r.client.conn, r.client.in.conn, r.client.failures = client, client, clientFailures
	r.backend.conn, r.backend.in.conn, r.backend.failures = backend, backend, backendFailures
	return r
}

// run returns when both connections are closed, with the reason.
func (r *relay) run() Reason {
	back := make(chan struct{})
	go func() {
		defer close(back)
		r.direction(&r.backend, &r.client)
	}()
	r.direction(&r.client, &r.backend)
	<-back
	r.mu.Lock()
	defer r.mu.Unlock()
	r.close()
	return r.end
}

// direction carries the stream from src to dst and survives a panic.
func (r *relay) direction(src, dst *side) {
	if guard(r.log, func() Reason { r.carry(src, dst); return Finished }) == Panicked {
		r.fail(Panicked)
	}
}

func (r *relay) carry(src, dst *side) {
	defer src.in.release()
	for {
		b, err := src.in.read()
		if failed := r.pass(b, dst); failed != nil {
			r.broke(dst.failures.of(failed))
			return
		}
		switch {
		case errors.Is(err, io.EOF):
			src.in.release()
			r.carryFIN(src, dst)
			return
		case err != nil:
			r.fail(src.failures.of(err))
			return
		}
	}
}

// pass writes b to dst. After a half-close it does so in pieces small enough for somebody slow to show that he is not quiet.
func (r *relay) pass(b []byte, dst *side) error {
	for len(b) > 0 {
		n := len(b)
		if r.watched() {
			n = min(n, watchedPiece)
		}
		n, err := dst.conn.Write(b[:n])
		b = b[n:]
		if errors.Is(err, os.ErrDeadlineExceeded) {
			_ = dst.conn.SetWriteDeadline(time.Time{}) // carryFIN had it return; go on in pieces
		} else if err != nil {
			return err
		}
		r.progress()
	}
	return nil
}

const watchedPiece = 16 << 10

// watched: one side has ended, and the other is not to be quiet for long.
func (r *relay) watched() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended == 1
}

// carryFIN sends to dst the FIN that came from src, and watches src until the relay ends.
func (r *relay) carryFIN(src, dst *side) {
	// In this order: a state seen before we sent FIN is not of our making.
	if err := hiddenReset(src.conn); err != nil && !src.shut.Load() {
		r.fail(src.failures.of(err))
		return
	}
	if r.failed() {
		return
	}
	dst.shut.Store(true)
	if err := closeWrite(dst.conn); err != nil {
		r.fail(dst.failures.of(err))
		return
	}
	if r.half() {
		return
	}
	_ = src.conn.SetWriteDeadline(time.Unix(1, 0)) // a Write under way was begun when nobody watched
	// Without a FIN from us, src ends only by failing.
	if err := over(src.conn); err != nil && !src.shut.Load() {
		r.fail(src.failures.of(err))
	}
}

// half notes that a direction ended with FIN, and reports whether it was the second; then both connections are closed.
func (r *relay) half() (both bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended++
	if r.ended == 2 {
		r.close()
		return true
	}
	r.arm(r.halfClose)
	return false
}

// progress puts the half-close timeout off: it is a time without any byte.
func (r *relay) progress() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended == 1 && r.end == Finished && !r.gone {
		r.timer.Reset(r.halfClose)
	}
}

// broke notes that a Write failed. What the broken connection sent before it broke may still wait to be read (an answer
// that was given without reading the whole request); it is carried before both connections are reset.
func (r *relay) broke(reason Reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.end == Finished {
		r.end = reason
	}
	if r.ended > 0 {
		r.close()
		return
	}
	r.arm(salvageTime)
}

// fail resets both connections.
func (r *relay) fail(reason Reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return
	}
	if r.end == Finished {
		r.end = reason
	}
	r.close()
}

func (r *relay) failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.end != Finished
}

// arm makes the relay fail after d. With r.mu held.
func (r *relay) arm(d time.Duration) {
	if r.timer == nil {
		r.timer = time.AfterFunc(d, func() { r.fail(HalfCloseTimeout) })
		return
	}
	r.timer.Reset(d)
}

// close closes both connections: in order if both streams were carried whole, else with a RST. With r.mu held.
func (r *relay) close() {
	if r.gone {
		return
	}
	r.gone = true
	if r.timer != nil {
		r.timer.Stop()
	}
	if r.end != Finished {
		reset(r.client.conn)
		reset(r.backend.conn)
		return
	}
	_ = r.client.conn.Close()
	_ = r.backend.conn.Close()
}
