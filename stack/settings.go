package stack

import (
	"net"
	"time"

	"tcpd/tcp"
)

// SetLinger with 0 has Close send RST at once and throw away what was not sent; else Close works in the background, as by
// default. Waiting in Close, which a positive number asks for on some systems, does not happen.
func (c *Conn) SetLinger(sec int) error {
	return c.change("set", func(tcp.Time) error {
		c.lingers = sec == 0
		return nil
	})
}

// SetNoDelay tells whether small segments are sent at once (true) or held back while others are under way (Nagle).
func (c *Conn) SetNoDelay(on bool) error {
	return c.change("set", func(now tcp.Time) error {
		c.shard.table.SetNoDelay(now, c.core, on)
		return nil
	})
}

// SetCork tells whether a segment that is not full waits for more to be written: for 200 ms at most, or until SetCork(false).
// Put around several writes it makes as few segments of them as can be (TCP_CORK of Linux).
func (c *Conn) SetCork(on bool) error {
	return c.change("set", func(now tcp.Time) error {
		c.shard.table.SetCork(now, c.core, on)
		return nil
	})
}

// SetKeepAlive tells whether a silent peer is probed.
func (c *Conn) SetKeepAlive(on bool) error {
	return c.setKeepAlive(func(k *tcp.KeepAlive) { k.Enabled = on })
}

// SetKeepAlivePeriod sets both the silence before the first probe and the time between probes.
func (c *Conn) SetKeepAlivePeriod(d time.Duration) error {
	return c.setKeepAlive(func(k *tcp.KeepAlive) { k.Idle, k.Interval = tcp.Duration(d), tcp.Duration(d) })
}

// SetKeepAliveConfig sets all of it. As with package net, zero means the default and negative means unchanged.
func (c *Conn) SetKeepAliveConfig(cfg net.KeepAliveConfig) error {
	return c.setKeepAlive(func(k *tcp.KeepAlive) {
		k.Enabled = cfg.Enable
		if cfg.Idle >= 0 {
			k.Idle = tcp.Duration(cfg.Idle)
		}
		if cfg.Interval >= 0 {
			k.Interval = tcp.Duration(cfg.Interval)
		}
		if cfg.Count >= 0 {
			k.Count = cfg.Count
		}
	})
}

func (c *Conn) setKeepAlive(edit func(*tcp.KeepAlive)) error {
	return c.change("set", func(now tcp.Time) error {
		k := c.core.Options().KeepAlive
		edit(&k)
		c.shard.table.SetKeepAlive(now, c.core, k)
		return nil
	})
}

// SetUserTimeout sets how long data may stay unacknowledged before the connection is given up (RFC 5482); 0: the default.
func (c *Conn) SetUserTimeout(d time.Duration) error {
	return c.change("set", func(now tcp.Time) error {
		c.shard.table.SetUserTimeout(now, c.core, tcp.Duration(d))
		return nil
	})
}

// SetTTL sets the TTL, or hop limit, of the packets that leave; 0: 64.
func (c *Conn) SetTTL(ttl uint8) error {
	return c.change("set", func(now tcp.Time) error {
		c.shard.table.SetTTL(now, c.core, ttl)
		return nil
	})
}

// SetTrafficClass sets the DSCP, in the upper six bits of class, of the packets that leave. The lower two are those of ECN and
// are ignored.
func (c *Conn) SetTrafficClass(class uint8) error {
	return c.change("set", func(now tcp.Time) error {
		c.shard.table.SetTrafficClass(now, c.core, class)
		return nil
	})
}
