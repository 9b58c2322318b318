package service

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// visitListener counts the connections that it gives to net/http, and waits out errors that will pass.
type visitListener struct {
	net.Listener
	ctx context.Context
	acceptor
	open    sync.WaitGroup // visits
	retired atomic.Bool    // nobody is accepted any more: who is here leaves after the next answer
}

// Accept returns a *visit.
func (l *visitListener) Accept() (net.Conn, error) {
	conn, err := persist(l.ctx, l.acceptor, l.Listener.Accept)
	if err != nil {
		return nil, err
	}
	l.counters.begin()
	l.open.Add(1)
	v := &visit{Conn: conn, by: l}
	v.reason.Store(uint32(Finished))
	return v, nil
}

// visit is a connection of net/http that notes how it ends.
type visit struct {
	net.Conn
	by     *visitListener
	reason atomic.Uint32 // Finished until something fails; the first failure stays
	closed atomic.Bool
	until  time.Time // the deadline of Write
}

// visitKey is the key of the *visit in a request's context.
type visitKey struct{}

func visitOf(r *http.Request) *visit {
	v, _ := r.Context().Value(visitKey{}).(*visit)
	return v
}

func (v *visit) Read(b []byte) (int, error) {
	n, err := v.Conn.Read(b)
	return n, v.note(err)
}

// A client has so long to take what is written, and a second for each KiB of it. Who takes nothing would keep a descriptor, a
// goroutine and a buffer for as long as he answers the probes of his closed window.
const (
	writeTime = time.Minute
	writeRate = 1 << 10 // bytes a second
)

func (v *visit) Write(b []byte) (int, error) {
	now, allowed := time.Now(), writeTime+time.Duration(len(b)/writeRate)*time.Second
	if v.until.Sub(now) < allowed/2 { // not for each small answer
		v.until = now.Add(allowed)
		_ = v.Conn.SetWriteDeadline(v.until) // fails on a broken connection, as what follows does
	}
	n, err := v.Conn.Write(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		v.fail(ClientTimeout)
	}
	return n, v.note(err)
}

// CloseWrite lets net/http wait for the end of a request that it answered early.
func (v *visit) CloseWrite() error { return closeWrite(v.Conn) }

// Close resets the connection if anything failed on it, and counts its end.
func (v *visit) Close() error {
	if v.closed.Swap(true) {
		return net.ErrClosed
	}
	reason := Reason(v.reason.Load())
	defer v.by.open.Done()
	defer v.by.counters.end(reason)
	if reason != Finished {
		reset(v.Conn)
		return nil
	}
	return v.Conn.Close()
}

// note keeps the first failure. The deadlines are those of net/http: an idle client is sent away in order.
func (v *visit) note(err error) error {
	if err != nil && !isAny(err, io.EOF, net.ErrClosed, os.ErrDeadlineExceeded) {
		v.fail(clientFailures.of(err))
	}
	return err
}

func (v *visit) fail(r Reason) { v.reason.CompareAndSwap(uint32(Finished), uint32(r)) }

// answer passes an answer on and counts its body.
type answer struct {
	http.ResponseWriter
	visit *visit
	sent  int64
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) Write(b []byte) (int, error) {
	n, err := a.ResponseWriter.Write(b)
	a.sent += int64(n)
	return n, err
}

// ReadFrom copies in pieces as large as a stream's read buffer, eight times those of net/http.
func (a *answer) ReadFrom(src io.Reader) (int64, error) {
	size := int64(largest)
	if l, ok := src.(*io.LimitedReader); ok {
		size = min(size, max(l.N, 1))
	}
	step := 0
	for n := int64(smallest); n < size; n *= growth {
		step++
	}
	buf := takeBuffer(step)
	defer buffers[step].Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{a}, struct{ io.Reader }{src}, *buf)
}

// whole wraps a handler so that an answer which is cut short ends in a RST, not in a FIN that looks like its end.
func (h *HTTP) whole(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != http.NoBody {
			// Nothing here wants a body: it may come along with the header, or not at all.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(headerTime))
		}
		a := &answer{ResponseWriter: w, visit: visitOf(r)}
		if a.visit.by.retired.Load() {
			w.Header().Set("Connection", "close")
		}
		if guard(h.Log, func() Reason { next.ServeHTTP(a, r); return Finished }) == Panicked {
			a.abort(Panicked)
		}
		if a.short(r.Method) {
			a.abort(AnswerCut)
		}
	})
}

// short reports whether the answer is shorter than it said.
func (a *answer) short(method string) bool {
	length, err := strconv.ParseInt(a.Header().Get("Content-Length"), 10, 64)
	return err == nil && method != http.MethodHead && a.sent < length
}

// abort makes net/http close the connection, which resets it.
func (a *answer) abort(r Reason) {
	a.visit.fail(r)
	panic(http.ErrAbortHandler)
}
