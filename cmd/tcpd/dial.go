package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	neturl "net/url"
	"os"
	"sync"
	"syscall"
	"time"

	"tcpd/stack"
)

// A connection through a running daemon is a stream of frames over its control socket, after an upgrade of HTTP: a byte
// that says what it is, and for data two bytes with their number, big endian. An end of file between the two says nothing:
// a stream that was cut must not look complete.
const (
	frameData  = 'D'
	frameFin   = 'F'
	frameReset = 'R'

	frameMost    = 65535
	frameHeader  = 3
	dialUpgrade  = "tcpd-stream"
	describeName = "Tcpd-Connection"
)

// frameStream is a stream of frames, as a net.Conn.
type frameStream struct {
	net.Conn
	r       *bufio.Reader
	left    int  // bytes of the frame being read
	over    bool // FIN has come
	writing sync.Mutex
	told    [][2]string // what the daemon said of the connection
}

// Read returns data, io.EOF after FIN, and ECONNRESET when the stream ends without one.
func (s *frameStream) Read(b []byte) (int, error) {
	for s.left == 0 {
		if s.over {
			return 0, io.EOF
		}
		if err := s.nextFrame(); err != nil {
			return 0, err
		}
	}
	n, err := s.r.Read(b[:min(len(b), s.left)])
	s.left -= n
	return n, cut(err)
}

func (s *frameStream) nextFrame() error {
	kind, err := s.r.ReadByte()
	if err != nil {
		return cut(err)
	}
	switch kind {
	case frameFin:
		s.over = true
	case frameData:
		var n [2]byte
		if _, err := io.ReadFull(s.r, n[:]); err != nil {
			return cut(err)
		}
		s.left = int(binary.BigEndian.Uint16(n[:]))
	default:
		return syscall.ECONNRESET
	}
	return nil
}

// cut makes an end without FIN what it is.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return syscall.ECONNRESET
	}
	return err
}

// Write sends data.
func (s *frameStream) Write(b []byte) (written int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	for len(b) > 0 {
		n := min(len(b), frameMost)
		frame := append([]byte{frameData, byte(n >> 8), byte(n)}, b[:n]...)
		if _, err := s.Conn.Write(frame); err != nil {
			return written, err
		}
		written += n
		b = b[n:]
	}
	return written, nil
}

// CloseWrite sends FIN.
func (s *frameStream) CloseWrite() error { return s.sign(frameFin) }

func (s *frameStream) sign(kind byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	_, err := s.Conn.Write([]byte{kind})
	return err
}

// Close gives the connection up, in order: what the daemon has not sent yet it still sends, then FIN.
func (s *frameStream) Close() error {
	_ = s.CloseWrite()
	return s.Conn.Close()
}

// serveDial connects to an address for a client of the control socket, and carries the stream.
func (d *daemon) serveDial(w http.ResponseWriter, r *http.Request) {
	address := r.URL.Query().Get("address")
	if r.Header.Get("Upgrade") != dialUpgrade {
		answer(w, http.StatusUpgradeRequired, controlError{Error: "ask for an upgrade to " + dialUpgrade})
		return
	}
	dialed, err := d.stack.DialContext(r.Context(), "tcp", address)
	if err != nil {
		answer(w, http.StatusBadGateway, controlError{Error: err.Error()})
		return
	}
	conn := dialed.(*stack.Conn)
	local, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = conn.SetLinger(0)
		_ = conn.Close()
		return
	}
	_ = local.SetDeadline(time.Time{})
	told, _ := json.Marshal(conn.Describe())
	s := &frameStream{Conn: local, r: bufio.NewReaderSize(local, 64<<10)}
	fmt.Fprintf(local, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s: %s\r\n\r\n", dialUpgrade, describeName, told)
	go func() {
		defer crash(d.log, os.Exit)
		d.carry(s, conn)
	}()
}

// carry moves the stream both ways until both sides have said FIN or one has failed.
func (d *daemon) carry(s *frameStream, conn *stack.Conn) {
	defer s.Conn.Close()
	back := make(chan error, 1)
	go func() {
		defer crash(d.log, os.Exit)
		_, err := io.CopyBuffer(struct{ io.Writer }{s}, struct{ io.Reader }{conn}, make([]byte, frameMost))
		if err == nil {
			err = s.CloseWrite()
		} else {
			_ = s.sign(frameReset)
		}
		back <- err
		if err != nil {
			_ = s.Conn.SetReadDeadline(time.Now()) // ends the other direction
		}
	}()
	_, err := io.CopyBuffer(struct{ io.Writer }{conn}, struct{ io.Reader }{s}, make([]byte, frameMost))
	if err == nil {
		err = conn.CloseWrite()
	}
	if err == nil {
		err = <-back
	}
	if err != nil {
		_ = conn.SetLinger(0)
	}
	_ = conn.Close()
}

// daemonVantage speaks TCP through a running daemon.
type daemonVantage struct{ client }

// DialContext connects to an address, whose host the system resolves.
func (v daemonVantage) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", v.socket)
	if err != nil {
		return nil, v.unreachable(err)
	}
	s, err := v.upgrade(ctx, conn, address)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return s, nil
}

func (v daemonVantage) upgrade(ctx context.Context, conn net.Conn, address string) (*frameStream, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://tcpd/v1/dial?address="+neturl.QueryEscape(address), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", dialUpgrade)
	if err := request.Write(conn); err != nil {
		return nil, v.unreachable(err)
	}
	s := &frameStream{Conn: conn, r: bufio.NewReaderSize(conn, 64<<10)}
	response, err := http.ReadResponse(s.r, request)
	if err != nil {
		return nil, errors.Join(ctx.Err(), v.unreachable(err))
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(io.LimitReader(response.Body, controlHeader))
		return nil, refused(response.Status, body)
	}
	return s, json.Unmarshal([]byte(response.Header.Get(describeName)), &s.told)
}

// Ping has the daemon ping a host. The deadline of ctx is the daemon's to watch, whose answer says that it passed.
func (v daemonVantage) Ping(ctx context.Context, to netip.Addr, size int) (time.Duration, error) {
	var p pingResult
	timeout := mostAnswer
	if end, ok := ctx.Deadline(); ok {
		timeout = time.Until(end)
	}
	asking, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.Canceled) {
			cancel()
		}
	})
	defer stop()
	path := fmt.Sprintf("/v1/ping?to=%s&size=%d&timeout=%s", neturl.QueryEscape(to.String()), size, timeout)
	err := v.ask(asking, http.MethodPost, path, nil, timeout+patience, &p)
	switch {
	case asking.Err() != nil:
		return 0, context.Canceled
	case err != nil:
		return 0, err
	case p.Lost:
		return 0, context.DeadlineExceeded
	}
	return time.Duration(p.RTT), nil
}

func (v daemonVantage) describe(c net.Conn) [][2]string { return c.(*frameStream).told }
func (v daemonVantage) settle(context.Context)          {}
func (v daemonVantage) close()                          {}

// pingResult is the answer to a ping.
type pingResult struct {
	RTT  int64 `json:"rtt_ns"`
	Lost bool  `json:"lost"`
}

func (d *daemon) servePing(w http.ResponseWriter, r *http.Request) {
	var size int
	q := r.URL.Query()
	to, err := netip.ParseAddr(q.Get("to"))
	timeout, badTimeout := time.ParseDuration(q.Get("timeout"))
	if _, badSize := fmt.Sscan(q.Get("size"), &size); err != nil || badTimeout != nil || badSize != nil {
		answer(w, http.StatusBadRequest, controlError{Error: "ping wants to, size and timeout, such as ?to=10.77.0.1&size=56&timeout=1s"})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), min(timeout, mostAnswer))
	defer cancel()
	rtt, err := d.stack.Ping(ctx, to, size)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		answer(w, http.StatusOK, pingResult{Lost: true})
	case err != nil:
		answer(w, http.StatusUnprocessableEntity, controlError{Error: err.Error()})
	default:
		answer(w, http.StatusOK, pingResult{RTT: int64(rtt)})
	}
}
