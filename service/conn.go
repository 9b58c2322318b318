package service

import (
	"errors"
	"io"
	"net"
	"syscall"
	"time"
)

// Capabilities of a connection beyond net.Conn, asked for by structure.
type (
	writeCloser interface{ CloseWrite() error }
	lingerer    interface{ SetLinger(sec int) error }
	describer   interface{ Describe() [][2]string }
	doner       interface{ Done() <-chan struct{} }
)

// reset ends a connection with a RST: its stream is cut, and must not look complete to the peer. A connection that knows
// no RST (a UNIX socket, a pipe) is closed.
func reset(conn net.Conn) {
	if c, ok := conn.(lingerer); ok {
		_ = c.SetLinger(0) // fails only on a connection that is over
	}
	_ = conn.Close()
}

// closeWrite sends a FIN after the last byte.
func closeWrite(conn net.Conn) error {
	if c, ok := conn.(writeCloser); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

// farewellTime is how long a client may take to close its side after our FIN.
const farewellTime = 5 * time.Second

// farewell sends a FIN and throws away what the client still sends, so that no RST (RFC 2525 2.17: close with unread data)
// overtakes the answer.
func farewell(conn net.Conn) {
	if closeWrite(conn) != nil {
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(farewellTime))
	_, _ = io.CopyBuffer(io.Discard, struct{ io.Reader }{conn}, make([]byte, smallest))
}

// over blocks until a connection whose peer has sent FIN is over, and returns why: the RST, or the timeout, that no Read
// reports once it has reported EOF. It returns nil when that cannot be learnt. Closing the connection here ends the wait,
// with any result.
func over(conn net.Conn) error {
	switch c := conn.(type) {
	case doner:
		<-c.Done()
		if err := closeWrite(conn); err != nil {
			return err
		}
		return syscall.ECONNRESET
	case *net.TCPConn:
		return kernelOver(c)
	}
	return nil
}
