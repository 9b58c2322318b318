package stack

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"tcpd/ip"
	"tcpd/tcp"
)

// ListenOptions are what a listener can be told.
type ListenOptions struct {
	// Backlog is how many established connections may wait for Accept; 0: 1024. When as many wait, handshakes are not
	// completed.
	Backlog int
	// FastOpenPending is how many connections may have been opened by data with a SYN whose client has not answered yet; 0:
	// 256. Options.FastOpen says whether there are any.
	FastOpenPending int
	// Hold: a SYN is answered only after the application said so, see NextAttempt.
	Hold bool
	// IPv6Only: the unspecified address stands for IPv6 addresses only.
	IPv6Only bool
	// Options of the connections; nil: those of the stack at the time.
	Options *tcp.Options
}

const (
	defaultBacklog         = 1024
	defaultFastOpenPending = 256
)

// Listener accepts connections. It is a net.Listener; its methods may be called by any goroutine.
type Listener struct {
	stack   *Stack
	addr    netip.AddrPort
	follows atomic.Bool      // the stack's options, as they change
	ids     []tcp.ListenerID // by shard
	open    []func() Handler // by shard, guarded by its lock: see SetHandler
	ready   []atomic.Bool    // by shard: its table has something for us
	next    atomic.Uint32    // shard to ask first
	wake    chan struct{}    // a token: something is ready
	closing sync.Once
	closed  chan struct{}
}

var _ net.Listener = (*Listener)(nil)

// Listen announces on an address such as "10.77.0.2:80" or ":80". The network is "tcp", "tcp4" or "tcp6".
func (s *Stack) Listen(network, address string) (net.Listener, error) {
	at, err := listenAddr(network, address)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	l, err := s.ListenTCP(at, ListenOptions{IPv6Only: network == "tcp6"})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// listenAddr resolves without asking anybody: an address to listen on is one of ours, and has a number.
func listenAddr(network, address string) (netip.AddrPort, error) {
	if network != "tcp" && network != "tcp4" && network != "tcp6" {
		return netip.AddrPort{}, net.UnknownNetworkError(network)
	}
	a, err := net.ResolveTCPAddr(network, address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	at := a.AddrPort()
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	switch {
	case a.IP != nil:
		return at, nil
	case network == "tcp4":
		return netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port()), nil
	}
	return netip.AddrPortFrom(netip.Addr{}, at.Port()), nil
}

// ListenTCP announces on an address and port. The zero Addr and :: stand for any address of both families, unless IPv6Only,
// 0.0.0.0 for any of IPv4; port 0 for one that is free. The error is syscall.EADDRINUSE when somebody listens there
// already, syscall.EADDRNOTAVAIL when the address is not ours.
func (s *Stack) ListenTCP(at netip.AddrPort, o ListenOptions) (*Listener, error) {
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	follows := o.Options == nil
	l := &Listener{
		stack: s, ids: make([]tcp.ListenerID, len(s.shards)), open: make([]func() Handler, len(s.shards)),
		ready: make([]atomic.Bool, len(s.shards)), wake: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	l.follows.Store(follows)
	err := l.bind(at, o)
	if err != nil {
		l.addr = at
		return nil, opError("listen", nil, l.Addr(), err)
	}
	return l, nil
}

func (l *Listener) bind(at netip.AddrPort, o ListenOptions) error {
	s := l.stack
	addr := ip.AddrFrom(at.Addr())
	if !s.owns(addr) {
		return os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.draining.Load() {
		return net.ErrClosed
	}
	if l.follows.Load() {
		defaults := s.options
		o.Options = &defaults
	}
	if at.Port() != 0 {
		l.addr = at
		if err := l.bindShards(addr, at.Port(), o); err != nil {
			return err
		}
	} else if err := l.bindFree(at.Addr(), o); err != nil {
		return err
	}
	s.listeners[l] = struct{}{}
	return nil
}

// bindFree tries ports of the range that IANA leaves to such use, from a random one on.
func (l *Listener) bindFree(a netip.Addr, o ListenOptions) error {
	const first, n = 49152, 1 << 14
	l.stack.ports = mix(l.stack.ports, 7)
	for i := range uint64(n) {
		port := uint16(first + (l.stack.ports+i)%n)
		l.addr = netip.AddrPortFrom(a, port)
		if err := l.bindShards(ip.AddrFrom(a), port, o); err != tcp.ErrInUse {
			return err
		}
	}
	return tcp.ErrPorts
}

// bindShards listens on every shard, or none.
func (l *Listener) bindShards(addr ip.Addr, port uint16, o ListenOptions) error {
	n := len(l.ids)
	opts := tcp.ListenOptions{
		Options: *o.Options, Backlog: share(orDefault(o.Backlog, defaultBacklog), n), Hold: o.Hold, IPv6Only: o.IPv6Only,
		FastOpenPending: share(orDefault(o.FastOpenPending, defaultFastOpenPending), n),
	}
	for i, sh := range l.stack.shards {
		now := sh.lock()
		id, err := sh.table.Listen(addr, port, opts)
		if err == nil {
			l.ids[i] = id
			sh.listeners[id] = l
		}
		sh.leave(now)
		if err != nil {
			l.unbind(l.stack.shards[:i])
			return err
		}
	}
	return nil
}

// SetOptions changes the options of connections to come; nil: they are those of the stack, as they change.
func (l *Listener) SetOptions(o *tcp.Options) {
	s := l.stack
	s.mu.Lock()
	defer s.mu.Unlock()
	l.follows.Store(o == nil)
	if o == nil {
		defaults := s.options
		o = &defaults
	}
	for _, sh := range s.shards {
		now := sh.lock()
		if sh.listeners[l.ids[sh.index]] == l {
			sh.table.SetListenOptions(l.ids[sh.index], *o)
		}
		sh.leave(now)
	}
}

func (l *Listener) unbind(shards []*shard) {
	for _, sh := range shards {
		now := sh.lock()
		sh.table.Unlisten(now, l.ids[sh.index])
		delete(sh.listeners, l.ids[sh.index])
		sh.leave(now)
	}
}

// Accept waits for the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	var c *Conn
	err := l.await("accept", func(sh *shard) bool {
		c = l.accept(sh)
		return c != nil
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// await calls take with each shard that has something ready until one yields, waiting as long as none does.
func (l *Listener) await(op string, take func(*shard) bool) error {
	for {
		select {
		case <-l.closed:
			return opError(op, nil, l.Addr(), net.ErrClosed)
		default:
		}
		if l.poll(take) {
			return nil
		}
		select {
		case <-l.wake:
		case <-l.closed:
		}
	}
}

// poll asks the shards that have something, beginning with another one each time. Whoever found something wakes the next
// caller when there may be more, so that one token serves any number of callers. Shards without anything are not locked.
func (l *Listener) poll(take func(*shard) bool) bool {
	n := len(l.ids)
	first := int(l.next.Add(1) % uint32(n))
	for i := range n {
		at := (first + i) % n
		if !l.ready[at].Load() {
			continue
		}
		if take(l.stack.shards[at]) {
			l.passOn()
			return true
		}
	}
	return false
}

func (l *Listener) passOn() {
	for i := range l.ready {
		if l.ready[i].Load() {
			signal(l.wake)
			return
		}
	}
}

// accept takes a connection from one shard. The readiness is cleared when there is none, under the lock under which it is
// set.
func (l *Listener) accept(sh *shard) *Conn {
	now := sh.lock()
	defer func() { sh.leave(now) }()
	for !l.isClosed() {
		core := sh.table.Accept(l.ids[sh.index])
		if core == nil {
			break
		}
		ok, counted := l.stack.sources.open(now, core.Flow().Remote)
		if !ok {
			sh.table.Abort(now, core)
			continue
		}
		c := sh.adopt(core)
		c.counted = counted
		return c
	}
	l.ready[sh.index].Store(false)
	return nil
}

func (l *Listener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// Close stops listening. Connections that nobody has accepted are reset; those accepted go on. Calls that wait return an
// error that is net.ErrClosed, and so does a second Close.
func (l *Listener) Close() error {
	err := opError("close", nil, l.Addr(), net.ErrClosed)
	l.closing.Do(func() {
		close(l.closed)
		l.stack.mu.Lock()
		delete(l.stack.listeners, l)
		l.stack.mu.Unlock()
		l.unbind(l.stack.shards)
		err = nil
	})
	return err
}

// Addr returns the address listened on, a *net.TCPAddr.
func (l *Listener) Addr() net.Addr {
	a := l.addr
	if !a.Addr().IsValid() {
		a = netip.AddrPortFrom(netip.IPv6Unspecified(), a.Port())
	}
	return net.TCPAddrFromAddrPort(a)
}
