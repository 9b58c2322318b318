package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Service is something that serves the connections of a port. Services with equal settings compare equal.
type Service struct {
	Name   string
	Listen netip.AddrPort // the zero address is every own address
	Kind   string         // one of Kinds
	HTTP   HTTP           // with Kind "http"
	Proxy  Proxy          // with Kind "proxy"
	OwnTCP bool           // the connections have options of their own, TCP; else those of Config.TCP
	TCP    TCP

	Datagram Datagram // with Kind "datagram"
	Sink     Sink     // with Kind "sink"
}

// Place tells services apart by where they listen. Port 0 is a free one, which each service has for itself.
type Place struct {
	Listen netip.AddrPort
	Name   string // only with port 0
}

// Place returns where the service listens.
func (s Service) Place() Place {
	if s.Listen.Port() == 0 {
		return Place{s.Listen, s.Name}
	}
	return Place{Listen: s.Listen}
}

// Kinds are what a service can be: the key below the service that says so.
var Kinds = []string{"echo", "discard", "daytime", "chargen", "http", "proxy", "datagram", "sink"}

// HTTP answers with files, with a fixed text, or, when both are empty, with a page about the visitor's own connection.
type HTTP struct {
	Root string // directory
	Body string
}

// Proxy hands connections to a backend.
type Proxy struct {
	Network, Address string        // as in net.Dial: "tcp" or "unix"
	ProxyProtocol    string        // one of ProxyProtocols
	DialTimeout      time.Duration // for the backend to answer
	Pending          int           // dials of the backend at one time
	HalfCloseTimeout time.Duration // for the other direction, after one side's FIN, to be quiet
}

// ProxyProtocols are the values of proxy_protocol.
var ProxyProtocols = []string{"off", "v1", "v2"}

func defaultProxy() Proxy {
	return Proxy{ProxyProtocol: "off", DialTimeout: 10 * time.Second, Pending: 1024, HalfCloseTimeout: time.Hour}
}

// Sink stores each stream as a file in a directory.
type Sink struct{ Dir string }

// Datagram carries frames to a backend as UDP datagrams, and back. Without a backend frames are echoed.
type Datagram struct {
	To          string        // "host:port" of UDP; empty: echo
	IdleTimeout time.Duration // of both directions
	AnswerWait  time.Duration // for answers after the client's FIN
	MaxAnswer   int           // bytes
}

func defaultDatagram() Datagram {
	return Datagram{IdleTimeout: time.Minute, AnswerWait: 2 * time.Second, MaxAnswer: 65535}
}

// parseUDPBackend returns the address of udp:host:port.
func parseUDPBackend(s string) (string, error) {
	const hint = `write "udp:127.0.0.1:53", "udp:[::1]:53" or "udp:name:53"`
	address, ok := strings.CutPrefix(s, "udp:")
	if !ok {
		return "", wrong(hint, "%s does not name a backend of UDP", short(s))
	}
	b, err := parseBackend(address)
	if err != nil || b.network != "tcp" {
		return "", wrong(hint, "%s does not name a backend of UDP", short(s))
	}
	return b.address, nil
}

// parseServiceName wants a word that is fit to be the label of a metric.
func parseServiceName(s string) (string, error) {
	const hint = "use up to 40 lower case letters, digits, dashes and underscores, a letter first"
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '-' && c != '_') {
			return "", wrong(hint, "%s cannot be a service name", short(s))
		}
	}
	if s == "" || len(s) > 40 {
		return "", wrong(hint, "%s cannot be a service name", short(s))
	}
	return s, nil
}

// backend is where a proxy leads.
type backend struct{ network, address string }

func (b backend) String() string {
	if b.network == "unix" {
		return "unix:" + b.address
	}
	return b.address
}

func parseBackend(s string) (backend, error) {
	const hint = `write "127.0.0.1:3000", "[::1]:3000", "name:3000" or "unix:/run/app.sock"`
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		path, err := parseSocket(path)
		if err == nil && path == "" {
			err = wrong(hint, "the path of the socket is missing")
		}
		return backend{"unix", path}, err
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return backend{}, wrong(hint, "%s does not name a backend", short(s))
	}
	if !hostName(host) {
		return backend{}, wrong(hint, "%s is neither an address nor the name of a host", short(host))
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return backend{}, wrong("ports are the numbers 1 to 65535", "%s is not a port", short(port))
	}
	return backend{"tcp", s}, nil
}

// service decodes one entry of the list.
func (d *decoder) service(c *Config, s *Service) field {
	return func(path string, n *node) {
		fields := map[string]field{
			"name":   value(d, &s.Name, parseServiceName),
			"listen": value(d, &s.Listen, parseListen),
			"tcp":    d.ownTCP(c, s),
		}
		for _, k := range Kinds {
			fields[k] = d.kind(s, k)
		}
		before := len(d.problems)
		d.mapping(fields)(path, n)
		d.required(path, n, "name", "listen")
		if s.Kind == "" && len(d.problems) == before {
			d.problem(n.at, path+" does not say what the service does", "add one of: "+strings.Join(Kinds, ", "))
		}
	}
}

// ownTCP takes what a service wants otherwise than the section tcp has it, once that is known.
func (d *decoder) ownTCP(c *Config, s *Service) field {
	return func(path string, n *node) {
		s.OwnTCP = true
		d.later = append(d.later, func() {
			s.TCP = c.TCP
			d.take(d.tcp(&s.TCP), path, n)
		})
	}
}

func (d *decoder) required(path string, n *node, keys ...string) {
	if n.kind != mapping {
		return
	}
	for _, key := range keys {
		if !slices.ContainsFunc(n.pairs, func(p pair) bool { return p.key == key }) {
			d.problem(n.at, fmt.Sprintf("%s has no %q", path, key), "add "+key+": ...")
		}
	}
}

// kind decodes the settings below echo, http and so on. They may be left out.
func (d *decoder) kind(s *Service, kind string) field {
	return func(path string, n *node) {
		if s.Kind != "" {
			d.problem(d.origin[path], fmt.Sprintf("%s: the service is %s already, it can be one thing only", path, s.Kind), "make two services of it, on two ports")
			return
		}
		s.Kind = kind
		settings := map[string]field{}
		switch kind {
		case "http":
			settings["root"] = value(d, &s.HTTP.Root, parseDirectory)
			settings["body"] = value(d, &s.HTTP.Body, parseBody)
		case "proxy":
			s.Proxy = defaultProxy()
			settings["to"] = func(path string, n *node) {
				var b backend
				value(d, &b, parseBackend)(path, n)
				s.Proxy.Network, s.Proxy.Address = b.network, b.address
			}
			settings["proxy_protocol"] = value(d, &s.Proxy.ProxyProtocol, choice(ProxyProtocols))
			settings["dial_timeout"] = value(d, &s.Proxy.DialTimeout, parseDuration)
			settings["pending"] = value(d, &s.Proxy.Pending, integer(1, 1<<20, " dials"))
			settings["half_close_timeout"] = value(d, &s.Proxy.HalfCloseTimeout, parseDuration)
			if n.kind == null {
				n = &node{kind: mapping, at: n.at}
			}
			defer d.required(path, n, "to")
		case "sink":
			settings["dir"] = value(d, &s.Sink.Dir, parseDirectory)
			if n.kind == null {
				n = &node{kind: mapping, at: n.at}
			}
			defer d.required(path, n, "dir")
		case "datagram":
			s.Datagram = defaultDatagram()
			settings["to"] = value(d, &s.Datagram.To, parseUDPBackend)
			settings["idle_timeout"] = value(d, &s.Datagram.IdleTimeout, parseDuration)
			settings["answer_wait"] = value(d, &s.Datagram.AnswerWait, parseDuration)
			settings["max_answer"] = value(d, &s.Datagram.MaxAnswer, integer(1, 65535, " bytes"))
		}
		d.mapping(settings)(path, n)
	}
}
