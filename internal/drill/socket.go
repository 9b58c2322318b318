package drill

import (
	"errors"
	"io"

	"tcpd/ip"
	"tcpd/tcp"
)

// socket is a file descriptor of a script: what Linux' socket layer does, over a table.
type socket struct {
	nonblock  bool
	bound     uint16 // local port; 0: not bound
	listening bool
	listener  tcp.ListenerID
	conn      *tcp.Conn
	options   tcp.Options
	linger    int64 // seconds; -1: off
	readTo    uint32
	connected bool // connect has returned 0
	reported  bool // SO_ERROR was read
	pending   int  // of TCP_FASTOPEN
	defers    bool // TCP_FASTOPEN_CONNECT: the SYN waits for what is written
	deferred  *call
}

// errnos are the names of errors that scripts may expect, with the table's error that they are of.
var errnos = map[string]error{
	"EAGAIN": nil, "EWOULDBLOCK": nil, "EINPROGRESS": nil, "EALREADY": nil, "EISCONN": nil, "EINVAL": nil, "EBADF": nil,
	"ENOTCONN": nil, "ENOPROTOOPT": nil, "EOPNOTSUPP": nil,
	"ECONNRESET": tcp.ErrReset, "ETIMEDOUT": tcp.ErrTimeout, "ECONNREFUSED": tcp.ErrRefused, "EHOSTUNREACH": tcp.ErrUnreachable,
	"ECONNABORTED": tcp.ErrAborted, "EPIPE": tcp.ErrClosed, "EADDRINUSE": tcp.ErrInUse, "ENOBUFS": tcp.ErrLimit,
	"ENOMEM": tcp.ErrMemory, "EADDRNOTAVAIL": tcp.ErrPorts, "ENETUNREACH": tcp.ErrAddress,
}

// errno names an error of the table.
func errno(err error) string {
	for name, e := range errnos {
		if e != nil && errors.Is(err, e) {
			return name
		}
	}
	return err.Error()
}

// outcome is what a call returned.
type outcome struct {
	number  int64
	errno   string
	blocks  bool // it would wait
	partial bool // a write that goes on
}

func failed(err error) outcome { return outcome{number: -1, errno: errno(err)} }

func refused(name string) outcome { return outcome{number: -1, errno: name} }

// waits is what a call does that has nothing yet.
func (s *socket) waits(c *call) outcome {
	for _, a := range c.args {
		if a.has("MSG_DONTWAIT") {
			return refused("EAGAIN")
		}
	}
	if s.nonblock {
		return refused("EAGAIN")
	}
	return outcome{blocks: true}
}

func (r *run) socketCall(c *call) outcome {
	fd, ok := c.result.integer()
	if !ok || fd < 0 {
		r.mismatch("socket returns the number that the script gives it: want = 3 or another")
		return outcome{number: -1}
	}
	r.sockets[fd] = &socket{options: r.defaults, linger: -1, nonblock: c.args[1].has("SOCK_NONBLOCK")}
	return outcome{number: fd}
}

func (r *run) bind(s *socket, c *call) outcome {
	s.bound = r.script.options.port
	if p, ok := c.args[1].port(); ok {
		s.bound = p
	}
	return outcome{}
}

// listen: Linux lets one more connection wait than the backlog says.
func (r *run) listen(s *socket, c *call) outcome {
	n, _ := c.args[1].integer()
	id, err := r.table.Listen(ip.Addr{}, s.bound, tcp.ListenOptions{
		Options: s.options, Backlog: int(n) + 1, FastOpenPending: s.pending,
	})
	if err != nil {
		return failed(err)
	}
	s.listening, s.listener = true, id
	r.current.local = s.bound
	return outcome{}
}

func (r *run) accept(s *socket, c *call) outcome {
	if !s.listening {
		return refused("EINVAL")
	}
	conn := r.table.Accept(s.listener)
	if conn == nil {
		return s.waits(c)
	}
	fd, ok := c.result.integer()
	if !ok || fd < 0 {
		r.table.Abort(r.now, conn)
		return outcome{number: 0}
	}
	r.under = &socket{conn: conn, options: s.options, linger: s.linger, bound: s.bound, connected: true}
	if len(c.args) > 3 {
		r.under.nonblock = c.args[3].has("SOCK_NONBLOCK")
	}
	r.sockets[fd] = r.under
	return outcome{number: fd}
}

func (r *run) connect(s *socket, c *call) outcome {
	if s.conn != nil {
		return s.connecting()
	}
	a := addresses[r.family]
	if s.defers && s.deferred == nil && r.table.FastOpenReady(r.now, a.remote) {
		s.deferred = c
		return outcome{}
	}
	f := tcp.Flow{Local: a.local, Remote: a.remote, LocalPort: s.bound, RemotePort: r.script.options.remotePort}
	if p, ok := c.args[1].port(); ok {
		f.RemotePort = p
	}
	conn, err := r.table.Connect(r.now, f, s.options)
	if err != nil {
		return failed(err)
	}
	s.conn, r.under = conn, s
	f = conn.Flow()
	r.current = ports{f.LocalPort, f.RemotePort}
	delete(r.conversations, r.current)
	if s.nonblock {
		return refused("EINPROGRESS")
	}
	return outcome{blocks: true}
}

// connecting is connect again, or while it waits.
func (s *socket) connecting() outcome {
	switch {
	case s.conn.Err() != nil && !s.reported:
		s.reported = true
		return failed(s.conn.Err())
	case s.conn.State() == tcp.SynSent || s.conn.State() == tcp.SynReceived:
		if s.nonblock {
			return refused("EALREADY")
		}
		return outcome{blocks: true}
	case s.connected:
		return refused("EISCONN")
	}
	s.connected = true
	return outcome{}
}

func (r *run) read(s *socket, c *call) outcome {
	size, ok := c.args[2].integer()
	if s.conn == nil || !ok {
		return refused("ENOTCONN")
	}
	b := make([]byte, size)
	n, err := r.table.Read(r.now, s.conn, b)
	if want := pattern(s.readTo, n); string(b[:n]) != string(want) {
		r.mismatch("the %d bytes read are not those that the peer sent", n)
	}
	s.readTo += uint32(n)
	switch {
	case errors.Is(err, io.EOF):
		return outcome{}
	case err != nil:
		return failed(err)
	case n == 0 && size > 0:
		return s.waits(c)
	}
	return outcome{number: int64(n)}
}

// write writes text, or the pattern; done is what an earlier attempt of the same call wrote.
func (r *run) write(s *socket, c *call, done int64) outcome {
	size, ok := c.args[2].integer()
	if s.conn == nil {
		if o, goes := r.openWith(s, c); !goes {
			return o
		}
	}
	if s.conn == nil || !ok {
		return refused("ENOTCONN")
	}
	f := s.conn.Flow()
	talk := r.talk(ports{f.LocalPort, f.RemotePort})
	b := pattern(uint32(len(talk.written)), int(size-done))
	if c.args[1].isText && len(c.args[1].text) >= int(size) {
		b = []byte(c.args[1].text)[done:size]
	}
	write := r.table.Write
	if len(c.args) > 3 && c.args[3].has("MSG_OOB") {
		write = r.table.WriteUrgent
	}
	n, err := write(r.now, s.conn, b)
	talk.written = append(talk.written, b[:n]...)
	total := done + int64(n)
	switch {
	case err != nil && total == 0:
		return failed(err)
	case total == size && s.opensWith(c):
		return outcome{number: total, blocks: true, partial: true}
	case err != nil || total == size || s.nonblock && total > 0:
		return outcome{number: total}
	case total > 0:
		return outcome{number: total, blocks: true, partial: true}
	}
	return s.waits(c)
}

func (r *run) shutdown(s *socket, c *call) outcome {
	if s.conn == nil {
		return refused("ENOTCONN")
	}
	if c.args[1].has("SHUT_RD") {
		r.mismatch("a table has no way to close the receiving half alone")
	}
	if err := r.table.CloseWrite(r.now, s.conn); err != nil {
		return refused("ENOTCONN")
	}
	return outcome{}
}

func (r *run) closeCall(s *socket, _ *call) outcome {
	switch {
	case s.listening:
		r.table.Unlisten(r.now, s.listener)
	case s.conn != nil && s.linger == 0:
		r.table.Abort(r.now, s.conn)
	case s.conn != nil:
		r.table.Close(r.now, s.conn)
	}
	for fd, x := range r.sockets {
		if x == s {
			delete(r.sockets, fd)
		}
	}
	if r.under == s {
		r.under = nil
	}
	return outcome{}
}

// discard gives a socket up at the end of a run.
func (r *run) discard(s *socket) {
	s.linger = 0
	r.closeCall(s, nil)
}
