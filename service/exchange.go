package service

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"tcpd/service/datagram"
)

// exchange is one client of a Datagram with its backend.
type exchange struct {
	d               *Datagram
	client, backend net.Conn
	idle            time.Duration
	last            atomic.Int64 // when either side said something, Unix nanoseconds
	finished        atomic.Bool  // the client has sent FIN
}

// run returns when the client's stream has ended and, if that was in order, no more answers come.
func (x *exchange) run() Reason {
	x.touch()
	_ = x.client.SetReadDeadline(time.Now().Add(x.idle))
	answered := make(chan Reason, 1)
	go func() { answered <- guard(x.d.Log, x.answers) }()
	reason := x.frames()
	if reason != Finished {
		_ = x.backend.Close() // ends the goroutine; one that writes ends with the client's reset
		return reason
	}
	x.finished.Store(true)
	_ = x.client.SetWriteDeadline(time.Now().Add(x.idle)) // of an answer that is being written
	_ = x.backend.SetReadDeadline(time.Now().Add(x.wait()))
	return <-answered
}

func (x *exchange) touch() { x.last.Store(time.Now().UnixNano()) }

func (x *exchange) wait() time.Duration { return orDefault(x.d.AnswerWait, DefaultAnswerWait) }

// frames carries the client's frames to the backend until the stream ends.
func (x *exchange) frames() Reason {
	r := datagram.NewReader(x)
	for {
		b, err := r.Next()
		if err != nil {
			return x.d.ending(x.client, err)
		}
		x.touch()
		x.d.received.Add(1)
		x.d.send(x.backend, b)
	}
}

// Read reads from the client. Its deadline moves only when it has passed: a frame costs no timer.
func (x *exchange) Read(b []byte) (int, error) {
	for {
		n, err := x.client.Read(b)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		until := time.Unix(0, x.last.Load()).Add(x.idle)
		if !time.Now().Before(until) {
			return 0, err
		}
		_ = x.client.SetReadDeadline(until)
	}
}

// answers carries what the backend sends to the client, until the backend's socket is closed or quiet, which is in order, or
// the client is gone.
func (x *exchange) answers() Reason {
	most := x.d.MaxAnswer
	if most == 0 {
		most = datagram.MaxPayload
	}
	for {
		buf, n, err := x.receive(most)
		switch {
		case errors.Is(err, syscall.ECONNREFUSED):
			x.d.drop(PortClosed)
			err = nil
		case err != nil:
		case n > most:
			x.d.drop(AnswerTooBig)
		default:
			if failed := x.answer((*buf)[:datagram.HeaderLen+n]); failed != nil {
				x.d.drop(AnswerUnsent)
				return clientFailures.of(failed)
			}
		}
		if buf != nil {
			answerBuffers.Put(buf)
		}
		if err != nil {
			return Finished
		}
	}
}

// answer sends a frame, whose payload is in place, to the client.
func (x *exchange) answer(frame []byte) error {
	x.touch()
	datagram.PutHeader(frame, len(frame)-datagram.HeaderLen)
	if x.finished.Load() {
		// Nobody reads from the client any more, who could see that it stands still.
		_ = x.client.SetWriteDeadline(time.Now().Add(x.idle))
	}
	if _, err := x.client.Write(frame); err != nil {
		return err
	}
	x.d.sent.Add(1)
	if x.finished.Load() {
		_ = x.backend.SetReadDeadline(time.Now().Add(x.wait()))
	}
	return nil
}

// answerBuffers keeps *[]byte with room for a header, the largest payload and one byte more, which shows that a datagram was
// larger.
var answerBuffers = sync.Pool{New: func() any {
	b := make([]byte, datagram.HeaderLen+datagram.MaxPayload+1)
	return &b
}}

// receive waits for a datagram and reads it behind the place of a header. Of one with more than most bytes most+1 are read. A
// socket of the kernel gets its buffer when there is something to read: 64 KiB for each client that waits would be too much.
func (x *exchange) receive(most int) (buf *[]byte, n int, err error) {
	room := func(b *[]byte) []byte { return (*b)[datagram.HeaderLen : datagram.HeaderLen+most+1] }
	socket, ok := x.backend.(*net.UDPConn)
	if !ok {
		buf = answerBuffers.Get().(*[]byte)
		n, err = x.backend.Read(room(buf))
		return buf, n, err
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, 0, err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		buf = answerBuffers.Get().(*[]byte)
		for failed = syscall.EINTR; failed == syscall.EINTR; {
			n, failed = syscall.Read(int(fd), room(buf))
		}
		if failed != syscall.EAGAIN {
			return true
		}
		answerBuffers.Put(buf)
		buf = nil
		return false
	})
	if err == nil {
		err = failed
	}
	return buf, n, err
}
