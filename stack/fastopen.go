package stack

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"tcpd/tcp"
)

// DialData is DialTCP that has something to say at once. With TCP Fast Open (RFC 7413) the first of data travels with the SYN to
// a server that gave us a cookie at an earlier connection; without a cookie, or when the server or the path does not take it,
// data is sent after the handshake and a cookie is asked for. It returns when the connection is open and data is in the
// send buffer. The network may deliver a SYN, and what it carries, twice: data must be such that this does no harm.
func (s *Stack) DialData(ctx context.Context, to netip.AddrPort, data []byte, o *tcp.Options) (*Conn, error) {
	if o == nil {
		o = s.defaults()
	}
	own := *o
	own.FastOpen |= tcp.FastOpenClient
	c, err := s.connect(ctx, to, &own, &data)
	if err != nil {
		return nil, opError("dial", nil, net.TCPAddrFromAddrPort(to), osError("connect", err))
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetWriteDeadline(time.Unix(1, 0)) })
	_, err = c.Write(data)
	if !stop() && err == nil {
		err = ctx.Err() // the deadline may be set any time now
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		err = opError("dial", c.LocalAddr(), c.RemoteAddr(), ctx.Err())
	}
	if err != nil {
		_ = c.SetLinger(0)
		_ = c.Close()
		return nil, err
	}
	return c, nil
}
