package config

import (
	"fmt"
	"strconv"
	"strings"
)

// String returns the configuration as a file that gives the same one when loaded.
func (c *Config) String() string {
	var b strings.Builder
	put := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	if c.Link.UDP.Used() {
		put("link: %v", c.Link)
	} else {
		c.Tun.put(put)
	}
	if c.Impair != (Impair{}) {
		put("impair: %v", c.Impair)
	}
	put("addresses: %s", quoted(c.Addresses))
	if len(c.Services) == 0 {
		put("services: []")
	} else {
		put("services:")
	}
	for _, s := range c.Services {
		put("  - {name: %q, listen: %q, %s}", s.Name, s.ListenText(), s.settings()+s.ownTCP())
	}
	l := c.Limits
	put("limits:")
	put("  connections: %d", l.Connections)
	put("  half_open: %d", l.HalfOpen)
	put("  memory: %s", l.Memory)
	put("  per_source: {connections: %d, new_per_second: %d}", l.PerSource.Connections, l.PerSource.NewPerSecond)
	put("tcp:")
	for _, line := range c.TCP.lines() {
		put("  %s", line)
	}
	put("recorder: %s", map[bool]string{true: "on", false: "off"}[c.Recorder])
	put("log: {level: %s, format: %s}", c.Log.Level, c.Log.Format)
	put("metrics: {listen: %q}", c.Metrics.Listen)
	put("control: {socket: %s}", strconv.Quote(c.Control.Socket))
	put("shutdown: {drain: %s}", duration(c.Shutdown.Drain))
	return b.String()
}

func (t *Tun) put(put func(string, ...any)) {
	put("tun:")
	put("  name: %s", strconv.Quote(t.Name))
	put("  mode: %s", t.Mode)
	put("  create: %t", t.Create)
	put("  queues: %s", autoInt(t.Queues))
	put("  offload: %s", strconv.Quote(t.Offload))
	put("  mtu: %d", t.MTU)
	put("  host: %s", quoted(t.Host))
	if t.Mode == "tap" {
		put("  mac: %q", t.MAC)
		put("  bridge: %q", t.Bridge)
		put("  gateway: %s", quoted(t.Gateway))
	}
}

// ListenText returns where the service listens the way the file has it.
func (s Service) ListenText() string {
	if !s.Listen.Addr().IsValid() {
		return ":" + strconv.Itoa(int(s.Listen.Port()))
	}
	return s.Listen.String()
}

func (s Service) ownTCP() string {
	if !s.OwnTCP {
		return ""
	}
	return ", tcp: {" + strings.Join(s.TCP.lines(), ", ") + "}"
}

// lines returns the keys and values of a section tcp.
func (t TCP) lines() []string {
	return []string{
		"congestion: " + t.Congestion,
		"pacing: " + strconv.Quote(t.Pacing), // a bare on is a truth
		fmt.Sprintf("nodelay: %t", t.NoDelay),
		"ecn: " + strconv.Quote(t.ECN),
		"fast_open: " + strconv.Quote(t.FastOpen),
		"mtu_probing: " + strconv.Quote(t.MTUProbing),
		"keepalive: " + t.KeepAlive.String(),
		"user_timeout: " + duration(t.UserTimeout),
		"receive_buffer: " + autoSize(t.ReceiveBuffer),
		"send_buffer: " + autoSize(t.SendBuffer),
	}
}

func (s Service) settings() string {
	switch {
	case s.Kind == "http" && s.HTTP.Root != "":
		return fmt.Sprintf("http: {root: %s}", strconv.Quote(s.HTTP.Root))
	case s.Kind == "http" && s.HTTP.Body != "":
		return fmt.Sprintf("http: {body: %s}", strconv.Quote(s.HTTP.Body))
	case s.Kind == "proxy":
		p := s.Proxy
		return fmt.Sprintf("proxy: {to: %s, proxy_protocol: %q, dial_timeout: %s, pending: %d, half_close_timeout: %s}",
			strconv.Quote(p.Backend()), p.ProxyProtocol, duration(p.DialTimeout), p.Pending, duration(p.HalfCloseTimeout))
	case s.Kind == "sink":
		return fmt.Sprintf("sink: {dir: %s}", strconv.Quote(s.Sink.Dir))
	case s.Kind == "datagram" && s.Datagram.To != "":
		g := s.Datagram
		return fmt.Sprintf("datagram: {to: %s, idle_timeout: %s, answer_wait: %s, max_answer: %d}",
			strconv.Quote(g.Backend()), duration(g.IdleTimeout), duration(g.AnswerWait), g.MaxAnswer)
	}
	return s.Kind + ": {}"
}

// Backend returns where the frames go the way the file has it, empty for the echo.
func (g Datagram) Backend() string {
	if g.To == "" {
		return ""
	}
	return "udp:" + g.To
}

// Backend returns where the proxy leads the way the file has it.
func (p Proxy) Backend() string { return backend{p.Network, p.Address}.String() }

// String returns the settings the way the file has them.
func (k KeepAlive) String() string {
	if !k.Enabled {
		return "off"
	}
	return fmt.Sprintf("{idle: %s, interval: %s, count: %d}", duration(k.Idle), duration(k.Interval), k.Count)
}

// quoted returns a list of values that hold colons.
func quoted[T fmt.Stringer](list []T) string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = strconv.Quote(v.String())
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

func autoInt(n int) string {
	if n == 0 {
		return "auto"
	}
	return strconv.Itoa(n)
}

func autoSize(b ByteSize) string {
	if b == 0 {
		return "auto"
	}
	return b.String()
}
