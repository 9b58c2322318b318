package service

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// Attempt is a client's SYN that has not been answered.
type Attempt interface {
	LocalAddr() net.Addr
	RemoteAddr() net.Addr
	Accept() (net.Conn, error) // answers the SYN and waits for the handshake
	Reject()                   // answers with a RST; nothing happens if the client gave up
	Done() <-chan struct{}     // closed when the client gave up, the listener closed, or Reject was called
}

// AttemptListener is a listener that leaves a SYN unanswered until the service knows whether it can serve.
type AttemptListener interface {
	net.Listener
	NextAttempt() (Attempt, error)
}

// Defaults of Proxy.
const (
	DefaultPendingDials     = 1024
	DefaultDialTimeout      = 10 * time.Second
	DefaultHalfCloseTimeout = time.Hour
)

// Proxy carries connections to a backend. With an AttemptListener a client's SYN is answered after the backend accepted, so
// a backend that is down looks like a closed port. With any other listener the backend is dialled after the client's
// handshake, and the client is reset if that fails. How the streams and their ends are carried is said at relay.
type Proxy struct {
	To            string        // "host:port" or "unix:/path"
	ProxyProtocol ProxyProtocol // the header with the client's address that the backend expects
	PendingDials  int           // dials at a time; further clients are refused at once. As many handshakes may follow them
	DialTimeout   time.Duration

	// HalfCloseTimeout is how long the other direction may be quiet after one side sent FIN.
	HalfCloseTimeout time.Duration

	// Dial connects to the backend. nil: net.Dialer's DialContext.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Log  Log
	Counters

	down       atomic.Bool // the last dial failed
	starved    atomic.Bool // for want of descriptors
	handshakes handshakes
}

// Serve proxies the connections of l until ctx or l is closed, and closes l. Connections that run then go on. The settings
// must not change while it runs.
func (p *Proxy) Serve(ctx context.Context, l net.Listener) error {
	if _, _, err := splitBackend(p.To); err != nil {
		_ = l.Close()
		return err
	}
	a := acceptor{p.Log, &p.Counters}
	if held, ok := l.(AttemptListener); ok {
		return run(ctx, a, l, held.NextAttempt, p.attempt)
	}
	return run(ctx, a, l, l.Accept, p.accepted)
}

// attempt serves a client whose SYN is held.
func (p *Proxy) attempt(a Attempt) {
	var client, backend net.Conn
	if guard(p.Log, func() Reason { client, backend = p.introduce(a); return Finished }) == Panicked {
		a.Reject()
		p.refuse(DialFailed)
	}
	if client != nil {
		p.relay(client, backend)
	}
}

// introduce connects both sides. It returns nothing if the attempt was refused, which is counted.
func (p *Proxy) introduce(a Attempt) (client, backend net.Conn) {
	if backend = p.findHeld(a); backend == nil {
		return nil, nil
	}
	place := p.handshakes.enter(a, p.places())
	client, err := a.Accept()
	p.handshakes.leave(place)
	if err != nil {
		reset(backend)
		p.refuse(HandshakeFailed)
		return nil, nil
	}
	return client, backend
}

// findHeld connects to the backend for an attempt, or rejects that, which is counted.
func (p *Proxy) findHeld(a Attempt) net.Conn {
	if !p.admit() {
		a.Reject()
		p.refuse(DialLimit)
		return nil
	}
	defer p.done()
	backend, err := p.dialWhile(a.Done())
	if err != nil {
		reason := dialReason(err)
		if closed(a.Done()) {
			reason = ClientGaveUp
		}
		a.Reject()
		p.refusal(reason, err)
		return nil
	}
	p.answered()
	return backend
}

// accepted serves a client whose handshake is complete.
func (p *Proxy) accepted(client net.Conn) {
	var backend net.Conn
	if guard(p.Log, func() Reason { backend = p.find(client); return Finished }) == Panicked {
		reset(client)
		p.refuse(DialFailed)
	}
	if backend != nil {
		p.relay(client, backend)
	}
}

// find connects to the backend for client, or resets client, which is counted.
func (p *Proxy) find(client net.Conn) net.Conn {
	if !p.admit() {
		reset(client)
		p.refuse(DialLimit)
		return nil
	}
	defer p.done()
	backend, err := p.dialWhile(nil)
	if err != nil {
		reset(client)
		p.refusal(dialReason(err), err)
		return nil
	}
	p.answered()
	return backend
}

// dialWhile dials the backend until the timeout, or until gaveUp is closed.
func (p *Proxy) dialWhile(gaveUp <-chan struct{}) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), orDefault(p.DialTimeout, DefaultDialTimeout))
	defer cancel()
	if gaveUp != nil {
		go func() {
			select {
			case <-gaveUp:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	return p.dial(ctx)
}

// relay runs the connection to its end and counts it.
func (p *Proxy) relay(client, backend net.Conn) {
	p.begin()
	reason := p.greet(client, backend)
	if reason == Finished {
		reason = newRelay(client, backend, orDefault(p.HalfCloseTimeout, DefaultHalfCloseTimeout), p.Log).run()
	}
	p.end(reason)
}

// greet tells the backend about the client, in the PROXY protocol if it is spoken. If that fails both are reset.
func (p *Proxy) greet(client, backend net.Conn) Reason {
	if p.ProxyProtocol == NoProxyProtocol {
		return Finished
	}
	header := p.ProxyProtocol.appendHeader(nil, addrPort(client.RemoteAddr()), addrPort(client.LocalAddr()))
	if _, err := backend.Write(header); err != nil {
		reset(client)
		reset(backend)
		return backendFailures.of(err)
	}
	return Finished
}

func orDefault[T time.Duration | int](d, otherwise T) T {
	if d == 0 {
		return otherwise
	}
	return d
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
