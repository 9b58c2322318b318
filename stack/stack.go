package stack

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"tcpd/ip"
	"tcpd/tcp"
)

// Stack is a TCP/IP host of its own behind a link. All of its methods may be called by any goroutine.
type Stack struct {
	link      Link
	clock     Clock
	log       *zap.Logger
	addresses *addresses
	hash      hasher
	shards    []*shard
	loops     []*reader
	guests    []*guest      // by queue
	spread    atomic.Int32  // over so many queues writes go
	bulk      chan struct{} // a token when much moves and somebody wants to know, see Govern
	wantsBulk atomic.Bool
	readers   sync.WaitGroup
	memory    *budget
	sources   *sources
	limiter   *limiter
	fragments fragments
	pings     pings

	fragmentID atomic.Uint32
	mtu        atomic.Int64
	draining   atomic.Bool
	drained    chan struct{} // a token whenever a shard is found without connections while draining
	probing    atomic.Bool   // see Alive

	mu        sync.Mutex
	options   tcp.Options
	listeners map[*Listener]struct{}
	ports     uint64 // state of the choice of ports for Listen
	err       error
	closed    bool
	recorder  bool
	done      chan struct{}
}

// New starts a stack on a link: one goroutine for each of its queues. It owns the link from now on, also when it fails.
func New(cfg Config) (*Stack, error) {
	s, err := newStack(cfg)
	if err != nil {
		if cfg.Link != nil {
			cfg.Link.Close()
		}
		return nil, err
	}
	if v, ok := s.clock.(*VirtualClock); ok {
		v.add(s)
	}
	s.readers.Add(len(s.loops))
	for _, r := range s.loops {
		go r.run()
	}
	return s, nil
}

func newStack(cfg Config) (*Stack, error) {
	if err := cfg.prepare(); err != nil {
		return nil, err
	}
	own, err := newAddresses(cfg.Addresses)
	if err != nil {
		return nil, err
	}
	s := &Stack{
		link: cfg.Link, clock: cfg.Clock, log: sampled(cfg.Log), addresses: own, hash: newHasher(cfg.Secret), recorder: cfg.Recorder,
		memory: newBudget(cfg.Limits.Memory), sources: newSources(cfg.Limits.PerSource), options: cfg.Options,
		listeners: make(map[*Listener]struct{}), ports: mix(cfg.Seed, 5),
		drained: make(chan struct{}, 1), done: make(chan struct{}), bulk: make(chan struct{}, 1),
	}
	s.limiter = newLimiter(s.hash, cfg.Seed)
	s.fragments.init(s)
	s.pings.id, s.pings.bySeq = uint16(mix(cfg.Seed, 7)), make(map[uint16]ping)
	s.fragmentID.Store(uint32(mix(cfg.Seed, 6)))
	s.mtu.Store(int64(cfg.Link.MTU()))
	n, all := cfg.Link.Queues(), &census{}
	s.spread.Store(int32(n))
	for i := range n {
		memory := &allowance{budget: s.memory}
		s.shards = append(s.shards, newShard(s, i, tcp.NewTable(cfg.tableConfig(i, n, memory, all)), memory))
	}
	for i := range n {
		s.loops = append(s.loops, newReader(s, i))
		s.guests = append(s.guests, newGuest(s.loops[i]))
	}
	return s, nil
}

// sampled keeps trouble that repeats from filling the log: of each message one a minute.
func sampled(l *zap.Logger) *zap.Logger {
	return l.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, time.Minute, 1, 0)
	}))
}

// now is never 0, which stands for "not set" in several places.
func (s *Stack) now() tcp.Time { return tcp.Time(s.clock.Now()) + 1 }

// owner returns the shard of a flow.
func (s *Stack) owner(f *tcp.Flow) *shard {
	return s.shardOf(s.hash.flow(f))
}

// shardOf returns the shard of a flow with this hash.
func (s *Stack) shardOf(hash uint64) *shard { return s.shards[hash%uint64(len(s.shards))] }

// SetSpread has all packets leave by the first n queues of the link, at least 1; at the start these are all. A kernel sends the
// packets of a flow to the queue that last wrote it: they follow. Shards stay as many as there are queues.
func (s *Stack) SetSpread(n int) { s.spread.Store(int32(min(max(n, 1), len(s.shards)))) }

// Spread returns over how many queues packets leave.
func (s *Stack) Spread() int { return int(s.spread.Load()) }

// followMTU tells the tables when the link's MTU is another than before.
func (s *Stack) followMTU() {
	mtu := int64(s.link.MTU())
	if s.mtu.Load() == mtu || s.mtu.Swap(mtu) == mtu {
		return
	}
	for _, sh := range s.shards {
		now := sh.lock()
		sh.table.SetMTU(int(s.mtu.Load())) // which may be another one by now
		sh.leave(now)
	}
}

// SetOptions changes the options of connections to come: of Dial, and of listeners that were given none of their own.
func (s *Stack) SetOptions(o tcp.Options) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.options = o
	for _, sh := range s.shards {
		now := sh.lock()
		for l := range s.listeners {
			if l.follows.Load() {
				sh.table.SetListenOptions(l.ids[sh.index], o)
			}
		}
		sh.leave(now)
	}
}

func (s *Stack) defaults() *tcp.Options {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.options
	return &o
}

// SetLimits changes the limits. What exists stays, also when it is more than the new limits allow; buffers that nobody has bounded
// follow the memory in connections to come.
func (s *Stack) SetLimits(l Limits) {
	l = l.withDefaults()
	s.memory.limit.Store(l.Memory)
	s.sources.set(l.PerSource)
	n := len(s.shards)
	for _, sh := range s.shards {
		sh.mu.Lock()
		sh.memory.returnSpare()
		sh.table.SetLimits(l.Connections, l.HalfOpen, share(l.TimeWait, n))
		sh.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setRecorders()
}

// Done is closed when the stack has ended: after Close, or when the link failed. Err tells which.
func (s *Stack) Done() <-chan struct{} { return s.done }

// Err returns why the stack ended: nil while it runs, an error that is net.ErrClosed after Close, else that of the link.
func (s *Stack) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Drain stops listening and waits until the last connection has ended, or ctx has. Connections that wait in a listener's
// queue are reset: nobody will serve them.
func (s *Stack) Drain(ctx context.Context) error {
	s.draining.Store(true)
	s.closeListeners()
	for !s.idle() {
		select {
		case <-s.drained:
		case <-s.done:
			return s.Err()
		case <-ctx.Done():
			return fmt.Errorf("stack: connections are left: %w", ctx.Err())
		}
	}
	signal(s.drained) // for another call
	return nil
}

func (s *Stack) idle() bool {
	for _, sh := range s.shards {
		sh.mu.Lock()
		idle := sh.idle()
		sh.mu.Unlock()
		if !idle {
			return false
		}
	}
	return true
}

// Close ends the stack at once. Every connection that an application holds, or that waits to be accepted, is reset: a
// stream that was cut must not look complete. Then the link is closed. It returns when all loops have ended.
func (s *Stack) Close() error {
	s.end(net.ErrClosed)
	s.readers.Wait()
	return nil
}

// fail ends the stack because its link failed.
func (s *Stack) fail(err error) {
	s.end(fmt.Errorf("stack: the link ended: %w", err))
}

// end takes everything down, once.
func (s *Stack) end(err error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed, s.err = true, err
	s.mu.Unlock()
	if err != net.ErrClosed {
		s.log.Error("the link ended and with it the stack", zap.Error(err))
	}
	s.closeListeners()
	for _, sh := range s.shards {
		sh.close()
	}
	s.link.Close()
	close(s.done)
}

func (s *Stack) closeListeners() {
	s.mu.Lock()
	var all []*Listener
	for l := range s.listeners {
		all = append(all, l)
	}
	s.mu.Unlock()
	for _, l := range all {
		l.Close()
	}
}

// close resets what the shard holds. Applications see it with their next call.
func (sh *shard) close() {
	now := sh.lock()
	sh.startSending()
	sh.closed = true
	if sh.timer != nil {
		stopTimer(sh.timer)
	}
	var w wakes
	for _, c := range sh.conns {
		if c != nil {
			c.lost = true
			core := c.core
			sh.abandon(c, &w)
			sh.table.Abort(now, core)
			sh.sendAll(now)
		}
	}
	sh.closeServed(now)
	for slot, more := sh.table.AbortReleased(now, 0); more; slot, more = sh.table.AbortReleased(now, slot) {
		sh.sendAll(now)
	}
	for id, a := range sh.attempts {
		delete(sh.attempts, id)
		sh.table.RejectAttempt(now, id)
		a.finish(nil, &w)
		sh.sendAll(now)
	}
	sh.sendAll(now)
	sh.stopSending()
	sh.leave(now)
	w.send()
}

func (s *Stack) logWriteError(err error) {
	s.log.Warn("the link refused a packet", zap.Error(err))
}

// owns converts an address and reports whether it may be bound: unspecified, or ours.
func (s *Stack) owns(a ip.Addr) bool { return a.IsUnspecified() || s.addresses.has(a) }
