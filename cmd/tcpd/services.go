package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"

	"go.uber.org/zap"

	"tcpd/config"
	"tcpd/service"
	"tcpd/tcp"
)

// server is what every service is.
type server interface {
	Serve(ctx context.Context, l net.Listener) error
	Snapshot() service.Snapshot
}

// newServer makes the service that s describes.
func newServer(s config.Service, log service.Log) server {
	switch s.Kind {
	case "echo":
		return &service.Echo{Log: log}
	case "discard":
		return &service.Discard{Log: log}
	case "daytime":
		return &service.Daytime{Log: log}
	case "chargen":
		return &service.Chargen{Log: log}
	case "http":
		return &service.HTTP{Root: s.HTTP.Root, Body: s.HTTP.Body, Log: log}
	case "proxy":
		return &service.Proxy{
			To: s.Proxy.Backend(), ProxyProtocol: proxyProtocols[s.Proxy.ProxyProtocol], PendingDials: s.Proxy.Pending,
			DialTimeout: s.Proxy.DialTimeout, HalfCloseTimeout: s.Proxy.HalfCloseTimeout, Log: log,
		}
	case "sink":
		return &service.Sink{Dir: s.Sink.Dir, Log: log}
	case "datagram":
		g := s.Datagram
		return &service.Datagram{
			To: g.Backend(), IdleTimeout: g.IdleTimeout, AnswerWait: g.AnswerWait, MaxAnswer: g.MaxAnswer, Log: log,
		}
	}
	panic("a service of kind " + s.Kind + " got past the configuration's checks")
}

var proxyProtocols = map[string]service.ProxyProtocol{
	"off": service.NoProxyProtocol, "v1": service.ProxyProtocolV1, "v2": service.ProxyProtocolV2,
}

// holds reports whether the listener of s leaves a SYN unanswered until the service knows whether it can serve.
func holds(s config.Service) bool { return s.Kind == "proxy" }

// services are the running services and their ports.
type services struct {
	log    *logger
	listen func(s config.Service) (net.Listener, error)
	ctx    context.Context // of every service; closing only its listener is how one is told that it has a successor
	stop   context.CancelFunc

	mu      sync.Mutex
	list    []config.Service
	failed  []failedService // the configuration has them, and nobody serves them
	ports   map[config.Place]*port
	ledgers map[string]*ledger
}

func newServices(log *logger, listen func(config.Service) (net.Listener, error)) *services {
	s := &services{log: log, listen: listen, ports: map[config.Place]*port{}, ledgers: map[string]*ledger{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// failedService is one that has ended by itself, or whose port could not be opened again.
type failedService struct {
	config.Service
	err error
}

// apply makes the list of services what is served. Ports that stay keep their listener, so that at no moment they are
// closed, unless the service becomes, or was, a proxy: that needs a listener of another sort. Connections go on with the
// service that accepted them. If a new port cannot be opened nothing is changed.
func (s *services) apply(list []config.Service) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	changes := config.Changes(s.list, list)
	opened, err := s.openNew(changes)
	if err != nil {
		return err
	}
	s.failed = nil // who is in the list begins anew
	var failed []error
	list = slices.Clone(list)
	for _, c := range changes {
		switch {
		case c.After == nil:
			s.shut(*c.Before)
		case c.Before == nil:
			s.start(*c.After, opened[c.After.Place()])
		case holds(*c.Before) == holds(*c.After) && s.ports[c.After.Place()] != nil:
			p := s.ports[c.After.Place()]
			if l, ok := p.listener.(interface{ SetOptions(*tcp.Options) }); ok {
				l.SetOptions(ownOptions(*c.After))
			}
			s.run(*c.After, p)
		default:
			if err := s.reopen(*c.Before, *c.After); err != nil {
				failed = append(failed, err)
				s.failed = append(s.failed, failedService{*c.After, err})
				list = slices.DeleteFunc(list, func(o config.Service) bool { return o == *c.After })
			}
		}
	}
	s.list = list
	return errors.Join(failed...)
}

// openNew opens the ports that are new, all or none.
func (s *services) openNew(changes []config.ServiceChange) (map[config.Place]net.Listener, error) {
	opened := map[config.Place]net.Listener{}
	var failed []error
	for _, c := range changes {
		if c.Before != nil {
			continue
		}
		l, err := s.listen(*c.After)
		if err != nil {
			failed = append(failed, listenError(*c.After, err))
			continue
		}
		opened[c.After.Place()] = l
	}
	if len(failed) > 0 {
		for _, l := range opened {
			_ = l.Close()
		}
	}
	return opened, errors.Join(failed...)
}

func listenError(s config.Service, err error) error {
	return fmt.Errorf("service %q cannot listen on %s: %w", s.Name, s.ListenText(), err)
}

func (s *services) reopen(before, after config.Service) error {
	s.shut(before)
	l, err := s.listen(after)
	if err != nil {
		return listenError(after, err)
	}
	s.start(after, l)
	return nil
}

// start serves a new port.
func (s *services) start(what config.Service, l net.Listener) {
	p := openPort(l)
	s.ports[what.Place()] = p
	s.run(what, p)
	go func() {
		defer crash(s.log, os.Exit)
		p.pump()
	}()
}

// run puts a new service in charge of a port.
func (s *services) run(what config.Service, p *port) {
	log := s.log.Named(what.Name)
	server := newServer(what, s.log.leveled(what.Name))
	s.ledger(what.Name).add(server)
	l := p.replace()
	stage := p.inCharge()
	go func() {
		defer crash(s.log, os.Exit)
		if err := server.Serve(s.ctx, l); err != nil {
			log.Error("the service ended, its port is closed", zap.Error(err))
			s.fail(failedService{what, err}, p, stage)
		}
	}()
	text := "serving " + what.Kind + " on " + bound(what, p).ListenText()
	if what.Listen.Port() == 0 {
		text += ", a free port"
	}
	log.Info(text)
}

// fail closes the port of a service that has ended by itself, unless another has it by now. The next reload that names the service
// begins it anew.
func (s *services) fail(what failedService, p *port, stage *stage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ports[what.Place()] != p || p.inCharge() != stage {
		return
	}
	p.close()
	delete(s.ports, what.Place())
	s.list = slices.DeleteFunc(s.list, func(o config.Service) bool { return o.Place() == what.Place() })
	s.failed = append(s.failed, what)
}

// failures returns the services that have failed.
func (s *services) failures() []failedService {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.failed)
}

// shut closes the port of a service. Its connections go on.
func (s *services) shut(what config.Service) {
	if p := s.ports[what.Place()]; p != nil {
		p.close()
		delete(s.ports, what.Place())
		s.log.Named(what.Name).Info("no longer serving on " + bound(what, p).ListenText())
	}
}

// close closes every port, for good.
func (s *services) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, what := range s.list {
		s.shut(what)
	}
	s.list, s.failed = nil, nil
	s.stop()
}

// serving returns what is served now, each with the port it has.
func (s *services) serving() []config.Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Clone(s.list)
	for i, what := range list {
		if p := s.ports[what.Place()]; p != nil {
			list[i] = bound(what, p)
		}
	}
	return list
}

// bound returns a service with the port that was found for it.
func bound(what config.Service, p *port) config.Service {
	if at, ok := p.listener.Addr().(*net.TCPAddr); ok && what.Listen.Port() == 0 {
		what.Listen = netip.AddrPortFrom(what.Listen.Addr(), at.AddrPort().Port())
	}
	return what
}
