package config

import "slices"

// RestartKeys returns the keys that differ between c and the newer configuration and cannot change in a running daemon.
func (c *Config) RestartKeys(newer *Config) []string {
	a, b := c, newer
	var keys []string
	differ := func(key string, same bool) {
		if !same {
			keys = append(keys, key)
		}
	}
	differ("tun.name", a.Tun.Name == b.Tun.Name)
	differ("tun.mode", a.Tun.Mode == b.Tun.Mode)
	differ("tun.create", a.Tun.Create == b.Tun.Create)
	differ("tun.queues", a.Tun.Queues == b.Tun.Queues)
	differ("tun.offload", a.Tun.Offload == b.Tun.Offload)
	differ("tun.mtu", a.Tun.MTU == b.Tun.MTU)
	differ("tun.host", slices.Equal(a.Tun.Host, b.Tun.Host))
	differ("tun.mac", a.Tun.MAC == b.Tun.MAC)
	differ("tun.bridge", a.Tun.Bridge == b.Tun.Bridge)
	differ("tun.gateway", slices.Equal(a.Tun.Gateway, b.Tun.Gateway))
	differ("link", a.Link == b.Link)
	differ("addresses", slices.Equal(a.Addresses, b.Addresses))
	differ("log.format", a.Log.Format == b.Log.Format)
	differ("metrics.listen", a.Metrics.Listen == b.Metrics.Listen)
	differ("control.socket", a.Control.Socket == b.Control.Socket)
	return keys
}

// KeepRestartKeys gives c the running configuration's values of the keys that RestartKeys compares.
func (c *Config) KeepRestartKeys(running *Config) {
	c.Tun, c.Link, c.Addresses = running.Tun, running.Link, running.Addresses
	c.Log.Format, c.Metrics, c.Control = running.Log.Format, running.Metrics, running.Control
}

// ServiceChange is what became of the service of one place to listen on: Before is nil for a new one, After for one that
// is gone.
type ServiceChange struct{ Before, After *Service }

// Changes compares two lists of services, which are told apart by where they listen: a port that stays open keeps its
// listener, whatever is behind it. Services that stay as they are have no change.
func Changes(before, after []Service) []ServiceChange {
	find := func(list []Service, s Service) *Service {
		i := slices.IndexFunc(list, func(o Service) bool { return o.Place() == s.Place() })
		if i < 0 {
			return nil
		}
		return &list[i]
	}
	var changes []ServiceChange
	for i := range before {
		if find(after, before[i]) == nil {
			changes = append(changes, ServiceChange{Before: &before[i]})
		}
	}
	for i := range after {
		if old := find(before, after[i]); old == nil || *old != after[i] {
			changes = append(changes, ServiceChange{Before: old, After: &after[i]})
		}
	}
	return changes
}
