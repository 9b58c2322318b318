// Package config turns the configuration file and the command line's flags into validated values. It reads a file strictly
// (every key must be known, every value must make sense with the others) and reports everything that is wrong at once, with
// its place in the file.
package config

import (
	_ "embed"
	"fmt"
	"net/netip"
	"time"
)

// Reference is the commented configuration file that holds every key with its default.
//
//go:embed tcpd.yaml
var Reference []byte

// Config is a whole, valid configuration.
type Config struct {
	Tun       Tun
	Link      Link           // instead of Tun
	Impair    Impair         // of either
	Addresses []netip.Prefix // what the daemon answers to; the prefix is that of its network
	Services  []Service
	Limits    Limits
	TCP       TCP
	Recorder  bool // connections keep their last segments
	Log       Log
	Metrics   Metrics
	Control   Control
	Shutdown  Shutdown

	// Warnings are remarks that keep nobody from running.
	Warnings []Problem
}

// Tun describes the device.
type Tun struct {
	Name    string
	Mode    string         // one of Modes
	Create  bool           // false: attach to a device that exists
	Queues  int            // 0: automatic
	Offload string         // one of Offloads
	MTU     int            // bytes
	Host    []netip.Prefix // the kernel's side of the link; only with Create

	// The rest is for mode tap.
	MAC     MAC
	Bridge  string       // that the device becomes a port of; only with Create
	Gateway []netip.Addr // for hosts off the link, one of each family
}

// Offloads are the values of tun.offload.
var Offloads = []string{"auto", "on", "off"}

// Limits bound what clients can make the daemon hold.
type Limits struct {
	Connections int
	HalfOpen    int
	Memory      ByteSize
	PerSource   PerSource
}

// PerSource bounds what one source address can have. 0 is no limit.
type PerSource struct {
	Connections  int
	NewPerSecond int
}

// TCP holds the defaults of connections.
type TCP struct {
	Congestion    string // one of Congestions
	Pacing        string // one of Pacings
	NoDelay       bool
	ECN           string // one of ECNs
	FastOpen      string // one of FastOpens
	MTUProbing    string // one of MTUProbings
	KeepAlive     KeepAlive
	UserTimeout   time.Duration // 0: none
	ReceiveBuffer ByteSize      // largest; 0: automatic
	SendBuffer    ByteSize      // largest; 0: automatic
}

// Congestions are the values of tcp.congestion.
var Congestions = []string{"cubic", "reno", "bbr"}

// Pacings are the values of tcp.pacing.
var Pacings = []string{"auto", "on", "off"}

// FastOpens are the values of tcp.fast_open.
var FastOpens = []string{"off", "server", "client", "both"}

// MTUProbings are the values of tcp.mtu_probing.
var MTUProbings = []string{"off", "blackhole", "on"}

// ECNs are the values of tcp.ecn.
var ECNs = []string{"off", "accept", "on"}

// KeepAlive says when an idle connection is probed. The zero value is never.
type KeepAlive struct {
	Enabled        bool
	Idle, Interval time.Duration
	Count          int
}

// Log says what is logged, and how.
type Log struct {
	Level  string // one of LogLevels
	Format string // one of LogFormats
}

// LogLevels and LogFormats are the values of log.level and log.format.
var (
	LogLevels  = []string{"debug", "info", "warn", "error"}
	LogFormats = []string{"auto", "console", "journal", "json"}
)

// Metrics says where metrics and health are served; an empty address is nowhere.
type Metrics struct{ Listen string }

// Control is the socket of tcpd status and tcpd reload; an empty path is none.
type Control struct {
	Socket string
	// Chosen reports that the path was written down by someone, and is not the built-in default.
	Chosen bool
}

// Shutdown says how the daemon ends.
type Shutdown struct {
	Drain time.Duration // how long connections may finish after the request to stop
}

// Default returns the built-in configuration, that of the Reference.
func Default() *Config {
	c, err := Load("")
	if err != nil {
		panic(fmt.Sprintf("the embedded configuration is invalid: %v", err))
	}
	return c
}

// Load returns the built-in defaults, overridden by the file at path (none if empty), overridden by the flags. The error, if
// any, is an Errors with everything that is wrong.
func Load(path string, flags ...Flag) (*Config, error) {
	if path == "" {
		return load(nil, flags)
	}
	text, err := readFile(path)
	if err != nil {
		return nil, Errors{unreadable(path, err)}
	}
	return load(&source{name: path, text: text}, flags)
}

// Parse is Load for a file that is already in memory; name stands for it in errors.
func Parse(name string, text []byte, flags ...Flag) (*Config, error) {
	return load(&source{name: name, text: text}, flags)
}

func load(file *source, flags []Flag) (*Config, error) {
	c := &Config{}
	d := &decoder{origin: map[string]Location{}, failed: map[string]bool{}}
	d.layer(c, &source{name: "built-in tcpd.yaml", text: Reference})
	if file != nil {
		file.rank = rankFile
		d.layer(c, file)
	}
	d.flags(c, flags)
	for _, f := range d.later {
		f()
	}
	k := checker{c: c, d: d}
	k.check()
	if len(d.problems) > 0 {
		return nil, d.errors()
	}
	c.Control.Chosen = d.origin["control.socket"].rank() > rankBuiltIn
	return c, nil
}
