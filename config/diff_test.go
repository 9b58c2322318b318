package config

import (
	"fmt"
	"slices"
	"testing"
)

func TestChanges(t *testing.T) {
	const before = `services:
- {name: stays, listen: ":1", echo: {}}
- {name: changes, listen: ":2", http: {body: a}}
- {name: renamed, listen: ":3", echo: {}}
- {name: moves, listen: ":4", echo: {}}
- {name: goes, listen: ":5", echo: {}}
`
	const after = `services:
- {name: comes, listen: ":6", echo: {}}
- {name: moves, listen: ":7", echo: {}}
- {name: newname, listen: ":3", echo: {}}
- {name: changes, listen: ":2", http: {body: b}}
- {name: stays, listen: ":1", echo: {}}
`
	var got []string
	name := func(s *Service) string {
		if s == nil {
			return "nothing"
		}
		return s.Name + s.ListenText()
	}
	for _, c := range Changes(mustParse(t, before).Services, mustParse(t, after).Services) {
		got = append(got, fmt.Sprintf("%s becomes %s", name(c.Before), name(c.After)))
	}
	want := []string{
		"moves:4 becomes nothing", "goes:5 becomes nothing",
		"nothing becomes comes:6", "nothing becomes moves:7", "renamed:3 becomes newname:3", "changes:2 becomes changes:2",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestRestartKeys(t *testing.T) {
	running := Default()
	newer := mustParse(t, `
tun: {name: tcp1, mode: tap, create: false, offload: off, mtu: 9000, mac: "02:00:00:00:00:01", gateway: [10.0.0.1]}
addresses: [10.0.0.2/24]
log: {format: json, level: debug}
metrics: {listen: ":9320"}
control: {socket: /tmp/x}
services: []
`)
	want := []string{
		"tun.name", "tun.mode", "tun.create", "tun.offload", "tun.mtu", "tun.host", "tun.mac", "tun.gateway", "addresses", "log.format",
		"metrics.listen", "control.socket",
	}
	if got := running.RestartKeys(newer); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	newer.KeepRestartKeys(running)
	if got := running.RestartKeys(newer); got != nil {
		t.Errorf("%q still differ from the running ones", got)
	}
	if newer.Log.Level != "debug" || len(newer.Services) != 0 {
		t.Error("what can change at run time should be that of the newer one")
	}
}
