package config

import "strings"

// Flag is a value from the command line, which goes over the file.
type Flag struct {
	Name   string // as the user wrote it: "--mtu"
	Key    string // the key it stands for: "tun.mtu"
	Values []string
	List   bool // the key holds a list
}

// flags decodes the flags over what c holds.
func (d *decoder) flags(c *Config, flags []Flag) {
	for _, f := range flags {
		d.config(c)("", f.tree())
	}
}

// tree returns the flag as the tree a file with nothing but this key would give.
func (f Flag) tree() *node {
	at := Location{source: &source{name: f.Name + " " + strings.Join(f.Values, " "), rank: rankFlag}}
	n := &node{kind: list, at: at}
	for _, v := range f.Values {
		n.items = append(n.items, &node{kind: scalar, text: v, at: at})
	}
	if !f.List {
		n = n.items[0]
	}
	keys := strings.Split(f.Key, ".")
	for i := len(keys) - 1; i >= 0; i-- {
		n = &node{kind: mapping, at: at, pairs: []pair{{key: keys[i], at: at, value: n}}}
	}
	return n
}
