package tcp

import "tcpd/ip"

// Options are what a connection can be told. Zero durations and sizes mean the default.
type Options struct {
	Congestion    Congestion
	Pacing        Pacing
	NoDelay       bool  // do not hold back small segments (Nagle, RFC 9293, section 3.7.4)
	TTL           uint8 // of packets that leave, the hop limit of IPv6 (RFC 9293, MUST-49). 0: 64
	TrafficClass  uint8 // DSCP in the upper six bits (RFC 9293, MUST-48); the two of ECN are not the application's
	ECN           ECN
	FastOpen      FastOpen
	MTUProbing    MTUProbing
	KeepAlive     KeepAlive
	UserTimeout   Duration // give up when data stays unacknowledged for so long (RFC 5482); 0: 15 minutes
	ReceiveBuffer int      // bytes at most; the buffer grows to it with need. 0: an eighth of the Budget, 6 MiB without
	SendBuffer    int      // bytes at most; 0: an eighth of the Budget, 4 MiB without
}

// KeepAlive probes a silent peer (RFC 9293, section 3.8.4). Zero fields mean 2 hours, 75 seconds, 9 probes.
type KeepAlive struct {
	Enabled        bool
	Idle, Interval Duration
	Count          int
}

const (
	defaultUserTimeout   = 15 * Minute
	defaultReceiveBuffer = 6 << 20 // as Linux, tcp_rmem
	defaultSendBuffer    = 4 << 20 // as Linux, tcp_wmem
	initialBuffer        = 64 << 10
	minSendBuffer        = 128 << 10
	minWait              = 512 << 10    // on a short path
	pressedSendBuffer    = 2 * pageSize // under memory pressure: what is received needs room, or two full ends wait for ever
	finWait2Timeout      = 60 * Second  // as Linux; without it a peer that never closes holds the record for ever
	timeWaitLength       = 60 * Second  // 2 MSL, as Linux
	invalidInterval      = 500 * Millisecond
	synRetries           = 7 // "at least 3 minutes" (RFC 9293, MUST-23); the last wait ends after 247 s
	synAckRetries        = 5
	reportRetries        = 3 // R1 (RFC 9293, section 3.8.3, SHLD-10)
	orphanRetries        = 8
	heldTimeout          = 60 * Second
	pathMTUAge           = 10 * Minute // RFC 1191, section 6.3
	minPathMTU4          = 552         // as Linux, min_pmtu
	minPathMTU6          = 1280
	minSendMSS           = 48 // as Linux: leaves eight bytes beside all options
	defaultMSS4          = 536
	defaultMSS6          = 1220
	pawsIdle             = 24 * Day // RFC 7323, section 5.5
)

// DefaultOptions returns the options of a connection that was told nothing.
func DefaultOptions() Options { return Options{}.withDefaults() }

func (o Options) withDefaults() Options {
	o.UserTimeout = orDefault(o.UserTimeout, defaultUserTimeout)
	o.ReceiveBuffer = min(orDefault(o.ReceiveBuffer, defaultReceiveBuffer), 1<<29)
	o.SendBuffer = min(orDefault(o.SendBuffer, defaultSendBuffer), 1<<29)
	o.KeepAlive = o.KeepAlive.withDefaults()
	o.TrafficClass &^= ecnBits
	return o
}

func (k KeepAlive) withDefaults() KeepAlive {
	k.Idle = orDefault(k.Idle, 2*Hour)
	k.Interval = orDefault(k.Interval, 75*Second)
	k.Count = orDefault(k.Count, 9)
	return k
}

func orDefault[T int | Duration](v, d T) T {
	if v <= 0 {
		return d
	}
	return v
}

// Config is what a table is made with.
type Config struct {
	Secret      [16]byte // keys sequence numbers, timestamps and ports; random, and kept
	Seed        uint64   // of jitter
	MTU         int      // of the link
	Connections int      // at most; 0: 1,000,000
	HalfOpen    int      // at most; 0: 4096
	TimeWait    int      // at most; 0: 131,072
	Census      Census   // counts for Connections and HalfOpen; nil: this table alone
	Memory      Memory   // nil: without limit
	Recorders   int      // connections whose last segments are kept, at most; 0: none

	// Longest returns how long a super-packet to a peer may be, in bytes. A connection asks once, when it has much to send. nil:
	// 65,535, which is also the least.
	Longest func(peer ip.Addr) int
}

func (c Config) withDefaults() Config {
	c.MTU = orDefault(c.MTU, 1500)
	c.Connections = orDefault(c.Connections, 1_000_000)
	c.HalfOpen = orDefault(c.HalfOpen, 4096)
	c.TimeWait = orDefault(c.TimeWait, 131_072)
	if c.Memory == nil {
		c.Memory = unlimited{}
	}
	return c
}
