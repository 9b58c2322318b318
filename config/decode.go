package config

import (
	"cmp"
	"fmt"
	"slices"
)

// decoder takes the layers of a configuration, one over the other, and notes where each value came from.
type decoder struct {
	problems []Problem
	origin   map[string]Location                      // by path, such as "tun.mtu" or "services[2].listen"
	failed   map[string]bool                          // paths with problems at or below them: their values are not worth checking
	later    []func()                                 // what goes out from values that other places give
	visit    func(path string, keys map[string]field) // if not nil, told about every mapping
}

// field takes the value at a path.
type field func(path string, n *node)

func (d *decoder) problem(at Location, what, hint string) {
	d.problems = append(d.problems, Problem{At: at, What: what, Hint: hint})
}

// maxProblems is as many as somebody will read; the rest follows from them, or is no configuration at all.
const maxProblems = 50

// errors returns the problems in the order of the sources.
func (d *decoder) errors() Errors {
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.At.rank(), b.At.rank()), cmp.Compare(a.At.Line, b.At.Line), cmp.Compare(a.At.Column, b.At.Column))
	})
	if more := len(d.problems) - maxProblems; more > 0 {
		d.problems = append(d.problems[:maxProblems], Problem{What: fmt.Sprintf("and %d errors more", more)})
	}
	return Errors(d.problems)
}

// layer decodes a file over what c holds.
func (d *decoder) layer(c *Config, s *source) {
	root, problems := parse(s)
	d.problems = append(d.problems, problems...)
	if root != nil {
		d.config(c)("", root)
	}
}

// config is the schema of the file.
func (d *decoder) config(c *Config) field {
	return d.mapping(map[string]field{
		"tun": d.mapping(map[string]field{
			"name":    value(d, &c.Tun.Name, parseDevice),
			"mode":    value(d, &c.Tun.Mode, choice(Modes)),
			"create":  value(d, &c.Tun.Create, parseBool),
			"queues":  value(d, &c.Tun.Queues, parseQueues),
			"offload": value(d, &c.Tun.Offload, choice(Offloads)),
			"mtu":     value(d, &c.Tun.MTU, integer(576, 65535, " bytes")),
			"host":    values(d, &c.Tun.Host, parsePrefix),
			"mac":     value(d, &c.Tun.MAC, parseMAC),
			"bridge":  value(d, &c.Tun.Bridge, parseBridge),
			"gateway": values(d, &c.Tun.Gateway, parseGateway),
		}),
		"link":      d.link(&c.Link),
		"impair":    d.impair(&c.Impair),
		"addresses": values(d, &c.Addresses, parsePrefix),
		"services":  d.services(c),
		"limits": d.mapping(map[string]field{
			"connections": value(d, &c.Limits.Connections, integer(1, 1<<30, " connections")),
			"half_open":   value(d, &c.Limits.HalfOpen, integer(1, 1<<30, " connections")),
			"memory":      value(d, &c.Limits.Memory, parseMemory),
			"per_source": d.mapping(map[string]field{
				"connections":    value(d, &c.Limits.PerSource.Connections, integer(0, 1<<30, " connections")),
				"new_per_second": value(d, &c.Limits.PerSource.NewPerSecond, integer(0, 1<<30, " connections a second")),
			}),
		}),
		"tcp":      d.tcp(&c.TCP),
		"recorder": value(d, &c.Recorder, parseBool),
		"log": d.mapping(map[string]field{
			"level":  value(d, &c.Log.Level, choice(LogLevels)),
			"format": value(d, &c.Log.Format, choice(LogFormats)),
		}),
		"metrics":  d.mapping(map[string]field{"listen": value(d, &c.Metrics.Listen, parseHostListen)}),
		"control":  d.mapping(map[string]field{"socket": value(d, &c.Control.Socket, parseSocket)}),
		"shutdown": d.mapping(map[string]field{"drain": value(d, &c.Shutdown.Drain, parseDuration)}),
	})
}

// tcp is the schema of options of connections.
func (d *decoder) tcp(t *TCP) field {
	return d.mapping(map[string]field{
		"congestion":     value(d, &t.Congestion, choice(Congestions)),
		"pacing":         value(d, &t.Pacing, choice(Pacings)),
		"nodelay":        value(d, &t.NoDelay, parseBool),
		"ecn":            value(d, &t.ECN, choice(ECNs)),
		"fast_open":      value(d, &t.FastOpen, choice(FastOpens)),
		"mtu_probing":    value(d, &t.MTUProbing, choice(MTUProbings)),
		"keepalive":      d.keepAlive(&t.KeepAlive),
		"user_timeout":   value(d, &t.UserTimeout, parseDuration),
		"receive_buffer": value(d, &t.ReceiveBuffer, parseBuffer),
		"send_buffer":    value(d, &t.SendBuffer, parseBuffer),
	})
}

// services replaces the list of the layer below.
func (d *decoder) services(c *Config) field {
	return d.items(func(n int) { c.Services = make([]Service, n) }, func(i int) field { return d.service(c, &c.Services[i]) })
}

// keepAlive takes the settings, or the word off.
func (d *decoder) keepAlive(k *KeepAlive) field {
	return func(path string, n *node) {
		if n.kind == scalar {
			value(d, &k.Enabled, func(s string) (bool, error) {
				if s == "off" || s == "false" {
					return false, nil
				}
				return false, wrong("write off, or {idle: 2h, interval: 75s, count: 9}", "%s is not possible here", short(s))
			})(path, n)
			return
		}
		k.Enabled = true
		d.mapping(map[string]field{
			"idle":     value(d, &k.Idle, parseDuration),
			"interval": value(d, &k.Interval, parseDuration),
			"count":    value(d, &k.Count, integer(1, 255, " probes")),
		})(path, n)
	}
}

// mapping returns a field that hands the values of a mapping to the fields of its keys. Nothing is an empty mapping: what is
// left when every key is commented out.
func (d *decoder) mapping(fields map[string]field) field {
	return func(path string, n *node) {
		if d.visit != nil {
			d.visit(path, fields)
		}
		if n.kind == null {
			return
		}
		if !d.want(path, n, mapping) {
			return
		}
		for _, p := range n.pairs {
			inner := join(path, p.key)
			f := fields[p.key]
			if f == nil {
				d.unknown(path, p, fields)
				continue
			}
			d.origin[inner] = p.value.at
			if p.value.kind == null || p.value.kind == mapping {
				d.origin[inner] = p.at
			}
			d.take(f, inner, p.value)
		}
	}
}

// take hands a value to its field, and notes whether that went wrong.
func (d *decoder) take(f field, path string, n *node) {
	before := len(d.problems)
	f(path, n)
	if len(d.problems) > before {
		d.failed[path] = true
	}
}

func (d *decoder) unknown(path string, p pair, fields map[string]field) {
	what := fmt.Sprintf("unknown key %s", short(p.key))
	if path != "" {
		what += " in " + path
	}
	known := make([]string, 0, len(fields))
	for key := range fields {
		known = append(known, key)
	}
	hint := suggest(p.key, known)
	if len(known) == 0 {
		hint = "there is nothing to set here: write {}"
	}
	d.problem(p.at, what, hint)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// want reports whether n is of a kind, and complains if not.
func (d *decoder) want(path string, n *node, k kind) bool {
	switch n.kind {
	case k:
		return true
	case broken:
		return false // and complained about already
	}
	if path == "" {
		path = "the file"
	}
	hint := map[kind]string{
		scalar:  "give a value, or remove the key for its default",
		list:    "write [first, second], or [] for none",
		mapping: "write {key: value}, or keys on indented lines below",
	}[k]
	d.problem(n.at, fmt.Sprintf("%s must be %v, here is %v", path, k, n.kind), hint)
	return false
}

// value returns a field that parses a single value into to.
func value[T any](d *decoder, to *T, parse func(string) (T, error)) field {
	return func(path string, n *node) {
		if !d.want(path, n, scalar) {
			return
		}
		v, err := parse(n.text)
		if err != nil {
			d.bad(path, n, err)
			return
		}
		*to = v
	}
}

// values returns a field that parses a list of single values, which replaces what to holds.
func values[T any](d *decoder, to *[]T, parse func(string) (T, error)) field {
	return d.items(func(n int) { *to = make([]T, n) }, func(i int) field { return value(d, &(*to)[i], parse) })
}

// items returns a field that takes a list: begin is told the number of items, each gives the field of an item.
func (d *decoder) items(begin func(n int), each func(i int) field) field {
	return func(path string, n *node) {
		if !d.want(path, n, list) {
			return
		}
		begin(len(n.items))
		for i, item := range n.items {
			inner := fmt.Sprintf("%s[%d]", path, i)
			d.origin[inner] = item.at
			d.take(each(i), inner, item)
		}
	}
}

func (d *decoder) bad(path string, n *node, err error) {
	m, ok := err.(*mistake)
	if !ok {
		m = wrong("", "%v", err)
	}
	d.problem(n.at, path+": "+m.what, m.hint)
}
