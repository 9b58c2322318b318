package service

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// Sizes of a connection's read buffer: 512 B, 4 KiB, 32 KiB, 256 KiB. An idle connection holds the smallest; a stream gets
// to the largest, four super-packets, in four reads.
const (
	smallest = 512
	growth   = 8
	steps    = 4
	largest  = smallest * growth * growth * growth
)

// restTime is how long a quiet connection keeps a buffer larger than the smallest.
const restTime = time.Second

// buffers keeps *[]byte of smallest*growth^i bytes.
var buffers [steps]sync.Pool

// inbox reads from a connection into a buffer whose size follows the traffic. It uses the connection's read deadline.
type inbox struct {
	conn net.Conn
	buf  *[]byte
	step int  // the buffer's size is smallest*growth^step
	last int  // bytes of the last read
	rest bool // a read deadline is set, after which the buffer is given back
}

// read returns at least a byte, or an error, or both. The bytes are borrowed until the next call.
func (in *inbox) read() ([]byte, error) {
	in.adapt()
	for {
		if in.buf == nil {
			in.buf = takeBuffer(in.step)
		}
		n, err := in.conn.Read(*in.buf)
		if n == 0 && in.rest && errors.Is(err, os.ErrDeadlineExceeded) {
			in.release()
			continue
		}
		in.last = n
		return (*in.buf)[:n], err
	}
}

// adapt chooses the buffer for the next read: a read that filled it earns a larger one, a read far below it a smaller one.
// A read that did not fill the buffer emptied the connection, so the next one may wait: the larger buffer is kept for
// restTime only.
func (in *inbox) adapt() {
	if in.buf == nil {
		return
	}
	size := len(*in.buf)
	switch {
	case in.last == size && in.step < steps-1:
		in.resize(in.step + 1)
	case in.last < size/growth && in.step > 0:
		in.resize(in.step - 1)
	}
	if in.last < size && in.step > 0 {
		_ = in.conn.SetReadDeadline(time.Now().Add(restTime))
		in.rest = true
	}
}

func (in *inbox) resize(step int) {
	buffers[in.step].Put(in.buf)
	in.buf, in.step = nil, step
}

// release gives the buffer back and takes the read deadline away.
func (in *inbox) release() {
	if in.buf != nil {
		in.resize(0)
	}
	if in.rest {
		_ = in.conn.SetReadDeadline(time.Time{})
		in.rest = false
	}
}

func takeBuffer(step int) *[]byte {
	if b, ok := buffers[step].Get().(*[]byte); ok {
		return b
	}
	size := smallest
	for range step {
		size *= growth
	}
	b := make([]byte, size)
	return &b
}
