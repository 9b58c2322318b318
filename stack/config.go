package stack

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"go.uber.org/zap"

	"tcpd/tcp"
)

// Config is what a stack is made with. Link and Addresses are needed; the zero value of everything else is a default.
type Config struct {
	// Link carries the packets. The stack owns it from New on and closes it in the end.
	Link Link
	// Addresses are those the stack answers to, each with the length of its network's prefix: 10.77.0.2/24. A prefix
	// without host bits, 192.0.2.0/24, stands for all of its addresses.
	Addresses []netip.Prefix
	// Options are those of connections that are given none.
	Options tcp.Options
	Limits  Limits
	// Recorder: connections keep their last segments, for Stack.Conn; see Stack.SetRecorder.
	Recorder bool
	// Clock is the machine's when nil, with the timers of package time; see FineClock.
	Clock Clock
	// Log is written to rarely, never for each packet. Nil: nothing is written.
	Log *zap.Logger
	// Secret keys sequence numbers and hashes, Seed jitter. Zero: drawn at random. Set them for runs that can be repeated.
	Secret [16]byte
	Seed   uint64
}

// Limits bound what all connections together, and those of one source, may take.
type Limits struct {
	Connections int       // established and closing; 0: 1,000,000
	HalfOpen    int       // handshakes under way; 0: 4096
	TimeWait    int       // 0: 131,072
	Memory      int64     // bytes of buffers and records; 0: 512 MiB
	PerSource   PerSource // of one IPv4 address or IPv6 /64
}

// PerSource are limits of one source: an IPv4 address, or an IPv6 /64, in which a single host has all addresses it wants.
type PerSource struct {
	Connections  int // that a listener accepted and the service did not close; 0: no limit
	NewPerSecond int // SYNs; 0: no limit
}

const (
	defaultConnections = 1_000_000
	defaultHalfOpen    = 4096
	defaultTimeWait    = 131_072
	defaultMemory      = 512 << 20
)

func (l Limits) withDefaults() Limits {
	l.Connections = orDefault(l.Connections, defaultConnections)
	l.HalfOpen = orDefault(l.HalfOpen, defaultHalfOpen)
	l.TimeWait = orDefault(l.TimeWait, defaultTimeWait)
	l.Memory = orDefault(l.Memory, defaultMemory)
	return l
}

func orDefault[T int | int64](v, d T) T {
	if v <= 0 {
		return d
	}
	return v
}

// prepare checks the configuration and fills in defaults.
func (c *Config) prepare() error {
	if c.Link == nil {
		return errors.New("stack: no link: set Config.Link to what carries the packets")
	}
	if n := c.Link.Queues(); n < 1 {
		return fmt.Errorf("stack: the link has %d queues, at least 1 is needed", n)
	}
	if len(c.Addresses) == 0 {
		return errors.New("stack: no address to answer to: set Config.Addresses, for example 10.77.0.2/24")
	}
	c.Limits = c.Limits.withDefaults()
	if c.Clock == nil {
		c.Clock = newMachineClock()
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	var random [24]byte
	if _, err := rand.Read(random[:]); err != nil {
		return fmt.Errorf("stack: no random numbers for sequence numbers: %w", err)
	}
	if c.Secret == [16]byte{} {
		c.Secret = [16]byte(random[:16])
	}
	if c.Seed == 0 {
		c.Seed = binary.LittleEndian.Uint64(random[16:])
	}
	return nil
}

// tableConfig is what one of n shards gets. What it may refuse for want of room is counted for all of them together.
func (c *Config) tableConfig(shard, n int, memory tcp.Memory, all *census) tcp.Config {
	t := tcp.Config{
		Secret:      c.Secret,
		Seed:        mix(c.Seed, uint64(shard)+1),
		MTU:         c.Link.MTU(),
		Connections: c.Limits.Connections,
		HalfOpen:    c.Limits.HalfOpen,
		Census:      all,
		TimeWait:    share(c.Limits.TimeWait, n),
		Memory:      memory,
		Recorders:   recorders(c.Recorder, c.Limits.Memory, n),
	}
	if l, ok := c.Link.(LongLink); ok {
		t.Longest = l.Longest
	}
	return t
}

// share divides a limit among n shards, rounded up.
func share(limit, n int) int { return (limit + n - 1) / n }
