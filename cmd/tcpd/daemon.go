package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"tcpd/config"
	"tcpd/stack"
	"tcpd/tcp"
	"tcpd/tun"
)

// daemon is a running stack with its services, and what changes them.
type daemon struct {
	log      *logger
	notify   *notifier
	load     func() (*config.Config, error) // reads the configuration anew
	file     string                         // from where; empty: it is built in
	link     *tun.Impaired
	stack    *stack.Stack
	services *services
	started  time.Time

	pulse   pulse
	reloads sync.Mutex // one reload at a time

	mu       sync.Mutex
	cfg      *config.Config
	stopping bool
	reloaded reloadCounts
}

// newDaemon starts the stack of c on a link, without its services. The link is closed with the daemon.
func newDaemon(c *config.Config, carrier tun.Carrier, clock stack.Clock, log *logger) (*daemon, error) {
	l := tun.Impair(carrier, nil)
	if err := l.Set(impairment(c.Impair)); err != nil {
		l.Close()
		return nil, err
	}
	s, err := stack.New(stack.Config{
		Link: l, Addresses: hosts(c.Addresses), Options: tcpOptions(c.TCP), Limits: stackLimits(c.Limits),
		Clock: clock,
		Log:   log.Named("stack"), Recorder: c.Recorder,
	})
	if err != nil {
		return nil, err
	}
	d := &daemon{log: log, link: l, stack: s, cfg: c, started: time.Now()}
	d.services = newServices(log, d.listen)
	return d, nil
}

// hosts returns the addresses for the stack, to which a prefix without host bits, as the lower one of a /31 or /127 is,
// would stand for all of its addresses.
func hosts(list []netip.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, p := range list {
		if p.Addr() == p.Masked().Addr() {
			p = netip.PrefixFrom(p.Addr(), p.Addr().BitLen())
		}
		out[i] = p
	}
	return out
}

func tcpOptions(c config.TCP) tcp.Options {
	o := tcp.DefaultOptions()
	o.Congestion, o.Pacing = congestions[c.Congestion], pacings[c.Pacing]
	o.NoDelay = c.NoDelay
	o.ECN = ecns[c.ECN]
	o.FastOpen = fastOpens[c.FastOpen]
	o.MTUProbing = mtuProbings[c.MTUProbing]
	o.UserTimeout = tcp.Duration(c.UserTimeout)
	o.KeepAlive = tcp.KeepAlive{Enabled: c.KeepAlive.Enabled}
	if c.KeepAlive.Enabled {
		o.KeepAlive.Idle, o.KeepAlive.Interval = tcp.Duration(c.KeepAlive.Idle), tcp.Duration(c.KeepAlive.Interval)
		o.KeepAlive.Count = c.KeepAlive.Count
	}
	o.ReceiveBuffer, o.SendBuffer = int(c.ReceiveBuffer), int(c.SendBuffer)
	return o
}

var fastOpens = map[string]tcp.FastOpen{
	"off": tcp.FastOpenOff, "server": tcp.FastOpenServer, "client": tcp.FastOpenClient, "both": tcp.FastOpenServer | tcp.FastOpenClient,
}

var mtuProbings = map[string]tcp.MTUProbing{
	"off": tcp.MTUProbingOff, "blackhole": tcp.MTUProbingBlackHole, "on": tcp.MTUProbingOn,
}

var ecns = map[string]tcp.ECN{"accept": tcp.ECNAccept, "off": tcp.ECNOff, "on": tcp.ECNOn}

// ownOptions returns the options of a service that has its own, else nil.
func ownOptions(s config.Service) *tcp.Options {
	if !s.OwnTCP {
		return nil
	}
	o := tcpOptions(s.TCP)
	return &o
}

var congestions = map[string]tcp.Congestion{"cubic": tcp.Cubic, "reno": tcp.Reno, "bbr": tcp.BBR}

var pacings = map[string]tcp.Pacing{"auto": tcp.PacingAuto, "on": tcp.PacingOn, "off": tcp.PacingOff}

func stackLimits(c config.Limits) stack.Limits {
	return stack.Limits{
		Connections: c.Connections, HalfOpen: c.HalfOpen, Memory: int64(c.Memory),
		PerSource: stack.PerSource{Connections: c.PerSource.Connections, NewPerSecond: c.PerSource.NewPerSecond},
	}
}

// listen opens the port of a service.
func (d *daemon) listen(s config.Service) (net.Listener, error) {
	l, err := d.stack.ListenTCP(s.Listen, stack.ListenOptions{Hold: holds(s), Options: ownOptions(s)})
	switch {
	case err != nil:
		return nil, err
	case holds(s):
		return heldListener{l}, nil
	}
	return l, nil
}

// config returns the configuration in force.
func (d *daemon) config() *config.Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cfg
}

// isStopping reports whether the daemon accepts no more connections.
func (d *daemon) isStopping() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stopping
}

// drain accepts no more connections, and returns when those that run have ended, or ctx has.
func (d *daemon) drain(ctx context.Context) {
	d.stopServices()
	_ = d.stack.Drain(ctx)
}

// stopServices closes every port, after a reload that is under way and before any other.
func (d *daemon) stopServices() {
	d.reloads.Lock()
	defer d.reloads.Unlock()
	d.mu.Lock()
	d.stopping = true
	d.mu.Unlock()
	d.services.close()
}

// close resets what is left, and closes the link.
func (d *daemon) close() {
	d.services.close()
	_ = d.stack.Close()
}

// crash is deferred in every goroutine of the daemon's own: a panic is logged like any other reason to end.
func crash(log *logger, exit func(int)) {
	if p := recover(); p != nil {
		log.Error("panic", zap.Any("reason", p), zap.ByteString("stack", debug.Stack()))
		exit(exitFailed)
	}
}

// summary says in one line what is served.
func (d *daemon) summary() string {
	var what []string
	for _, s := range d.services.serving() {
		what = append(what, s.Name+" "+s.ListenText())
	}
	if len(what) == 0 {
		what = []string{"nothing"}
	}
	return fmt.Sprintf("%s: %s serve %s", d.link.Name(), addressList(d.config()), strings.Join(what, ", "))
}
