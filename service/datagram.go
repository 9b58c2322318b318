package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"tcpd/service/datagram"
)

// Defaults of Datagram.
const (
	DefaultIdleTimeout = time.Minute
	DefaultAnswerWait  = 2 * time.Second
)

// Datagram carries datagrams over a stream of frames, in the format of package datagram. With To each frame goes as one UDP
// datagram to a backend, from a socket of the connection's own, and each datagram that comes back is a frame to the client.
// Without it frames are echoed.
//
// A stream that is not one of frames, or ends within one, is reset. So is one on which neither side said anything for
// IdleTimeout, which without To is for ever.
type Datagram struct {
	To          string        // "udp:host:port"; empty: echo
	IdleTimeout time.Duration // with To; 0: DefaultIdleTimeout
	AnswerWait  time.Duration // how long after the client's FIN, and after each answer since, another may come; 0: DefaultAnswerWait
	MaxAnswer   int           // bytes; larger answers are dropped. 0: as large as a frame

	// Dial connects to the backend. nil: net.Dialer's DialContext.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Log  Log
	Counters

	received, sent atomic.Uint64
	dropped        [NumFrameDrops]atomic.Uint64
}

// FrameDrop says why a datagram went no further.
type FrameDrop uint8

// The reasons.
const (
	FrameTooBig   FrameDrop = iota // longer than UDP carries
	SendFailed                     // the kernel refused to send it
	PortClosed                     // ICMP: nobody listens at the backend
	AnswerTooBig                   // longer than MaxAnswer
	AnswerUnsent                   // the client went away before it
	NumFrameDrops = iota
)

func (d FrameDrop) String() string {
	return [...]string{"frame_too_big", "send_failed", "port_closed", "answer_too_big", "answer_unsent"}[d]
}

// FrameCounts counts whole frames from and to clients, and datagrams that were dropped.
type FrameCounts struct {
	Received, Sent uint64
	Dropped        [NumFrameDrops]uint64
}

// Snapshot reads the counters.
func (d *Datagram) Snapshot() Snapshot {
	s := d.Counters.Snapshot()
	s.Framed = true
	s.Frames.Received, s.Frames.Sent = d.received.Load(), d.sent.Load()
	for i := range d.dropped {
		s.Frames.Dropped[i] = d.dropped[i].Load()
	}
	return s
}

// Serve answers on l until ctx or l is closed, and closes l. Connections that run then go on. The settings must not change
// while it runs.
func (d *Datagram) Serve(ctx context.Context, l net.Listener) error {
	if d.To == "" {
		return serve(ctx, l, d.Log, &d.Counters, d.echo)
	}
	if _, err := splitUDP(d.To); err != nil {
		_ = l.Close()
		return err
	}
	return run(ctx, acceptor{d.Log, &d.Counters}, l, l.Accept, d.accepted)
}

// splitUDP returns the address of "udp:host:port".
func splitUDP(to string) (string, error) {
	address, ok := strings.CutPrefix(to, "udp:")
	host, port, err := net.SplitHostPort(address)
	if !ok || err != nil || host == "" || port == "" {
		return "", fmt.Errorf("datagrams to %q: not an address: write udp:host:port or udp:[IPv6]:port", to)
	}
	return address, nil
}

func (d *Datagram) echo(conn net.Conn) Reason {
	r, w := datagram.NewReader(conn), datagram.NewWriter(conn)
	for {
		b, err := r.Next()
		if err != nil {
			return d.ending(conn, err)
		}
		d.received.Add(1)
		if _, err := w.Write(b); err != nil {
			return clientFailures.of(err)
		}
		d.sent.Add(1)
	}
}

// ending returns what the end of a client's frames means. A stream that was refused is logged, for it is a client that
// speaks something else; the log leaves out what repeats.
func (d *Datagram) ending(conn net.Conn, err error) Reason {
	var marker *datagram.MarkerError
	var truncated *datagram.TruncatedError
	switch {
	case errors.Is(err, io.EOF):
		return Finished
	case errors.As(err, &marker):
		d.Log.info("a client's stream was refused and reset: %v", err)
		return BadFrame
	case errors.As(err, &truncated):
		d.Log.info("a client's stream was refused and reset: %v", err)
		return TruncatedFrame
	case errors.Is(err, os.ErrDeadlineExceeded):
		return IdleTimeout
	}
	return clientFailures.of(err)
}

// accepted serves a client with a backend.
func (d *Datagram) accepted(client net.Conn) {
	backend, err := d.dial()
	if err != nil {
		reset(client)
		d.refuse(dialReason(err))
		return
	}
	d.begin()
	x := &exchange{d: d, client: client, backend: backend, idle: orDefault(d.IdleTimeout, DefaultIdleTimeout)}
	reason := guard(d.Log, x.run)
	_ = backend.Close()
	if reason == Finished {
		_ = client.Close()
	} else {
		reset(client)
	}
	d.end(reason)
}

func (d *Datagram) dial() (net.Conn, error) {
	address, err := splitUDP(d.To)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), DefaultDialTimeout)
	defer cancel()
	connect := d.Dial
	if connect == nil {
		connect = new(net.Dialer).DialContext
	}
	conn, err := connect(ctx, "udp", address)
	if err != nil {
		return nil, err
	}
	return keepSpare(conn)
}

func (d *Datagram) drop(why FrameDrop) { d.dropped[why].Add(1) }

// send hands b to the backend's socket. ICMP's news of an earlier datagram comes as an error of the next call, which sends
// nothing: so once more.
func (d *Datagram) send(backend net.Conn, b []byte) {
	_, err := backend.Write(b)
	if errors.Is(err, syscall.ECONNREFUSED) {
		d.drop(PortClosed)
		_, err = backend.Write(b)
	}
	switch {
	case err == nil:
	case errors.Is(err, syscall.EMSGSIZE):
		d.drop(FrameTooBig)
	default:
		d.drop(SendFailed)
	}
}
