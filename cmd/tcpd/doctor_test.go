package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"tcpd/config"
	"tcpd/tun"
)

// fakeMachine is one where nothing is missing, for a test to break.
type fakeMachine struct {
	first   string // tcpd in PATH
	control error
	node    error
	admin   bool
	devices map[string]tun.DeviceInfo
	route   string
	noRoute error
	sysctls map[string]string
	rules   string
	noRules error
}

func healthy() *fakeMachine {
	return &fakeMachine{
		first: "/usr/bin/tcpd", admin: true, route: "tcp0",
		devices: map[string]tun.DeviceInfo{"tcp0": {Exists: true, Kind: "tun", UID: -1, GID: -1, MTU: 1500, TxQueueLen: 5000}},
		sysctls: map[string]string{
			"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1",
			"net.ipv4.conf.all.rp_filter": "1", "net.ipv4.conf.tcp0.rp_filter": "0",
		},
		rules: ruleset(`{"masquerade": null}`),
	}
}

// ruleset is a chain with one rule of the family inet.
func ruleset(expressions string) string {
	return fmt.Sprintf(`{"nftables": [{"metainfo": {"version": "1.1.3"}}, {"table": {"family": "inet", "name": "x"}},
		{"rule": {"family": "inet", "table": "x", "chain": "y", "handle": 3, "expr": [%s]}}]}`, expressions)
}

func (m *fakeMachine) executables() (string, string)              { return "/usr/bin/tcpd", m.first }
func (m *fakeMachine) controlError() error                        { return m.control }
func (m *fakeMachine) openNode() error                            { return m.node }
func (m *fakeMachine) mayAdminister() (bool, uint32, []uint32)    { return m.admin, 1000, []uint32{100} }
func (m *fakeMachine) device(name string) (tun.DeviceInfo, error) { return m.devices[name], nil }
func (m *fakeMachine) routeTo(netip.Addr) (string, error)         { return m.route, m.noRoute }
func (m *fakeMachine) ruleset() ([]byte, error)                   { return []byte(m.rules), m.noRules }

func (m *fakeMachine) sysctl(name string) (string, error) {
	if v, ok := m.sysctls[name]; ok {
		return v, nil
	}
	return "", fs.ErrNotExist
}

func TestDoctorFindsNothing(t *testing.T) {
	for _, local := range []bool{true, false} {
		d := examine(config.Default(), healthy(), local)
		for _, f := range d.Findings {
			if f.Verdict != right || len(f.Fix) > 0 {
				t.Errorf("on a machine where nothing is missing: %+v", f)
			}
		}
	}
}

// Each thing that can be missing is found, alone, with the command that mends it.
func TestDoctorFindsWhatIsMissing(t *testing.T) {
	info := func(change func(*tun.DeviceInfo)) func(*fakeMachine) {
		return func(m *fakeMachine) {
			i := m.devices["tcp0"]
			change(&i)
			m.devices["tcp0"] = i
		}
	}
	noDevice := func(m *fakeMachine) { delete(m.devices, "tcp0") }
	for _, tt := range []struct {
		name, file string
		change     func(*fakeMachine)
		check      string
		fix        []string
	}{
		{"tcp-wrappers", "", func(m *fakeMachine) { m.first = "/usr/sbin/tcpd" }, "path", []string{"export PATH=/usr/bin:$PATH"}},
		{"control", "", func(m *fakeMachine) { m.control = fmt.Errorf("no: %w", fs.ErrPermission) }, "control", []string{"sudo tcpd status --socket /run/tcpd/control.sock"}},
		{"no node", "", func(m *fakeMachine) { m.node = fs.ErrNotExist }, "node", []string{"modprobe tun"}},
		{"closed node", "", func(m *fakeMachine) { m.node = fs.ErrPermission }, "node", []string{"chmod 0666 /dev/net/tun"}},
		{"no capability", "", func(m *fakeMachine) { noDevice(m); m.admin = false }, "device", []string{"sudo ip tuntap add dev tcp0 mode tun user $(id -un)"}},
		{"no device", "tun: {create: false}", noDevice, "device", []string{"ip tuntap add dev tcp0 mode tun user $(id -un)"}},
		{"another's device", "", func(m *fakeMachine) { m.admin = false; info(func(i *tun.DeviceInfo) { i.UID = 7 })(m) }, "device",
			[]string{"sudo ip link delete tcp0", "sudo ip tuntap add dev tcp0 mode tun user $(id -un)"}},
		{"a TAP", "", info(func(i *tun.DeviceInfo) { i.TAP = true }), "device", []string{"ip link delete tcp0", "ip tuntap add dev tcp0 mode tun user $(id -un)"}},
		{"an Ethernet card", "", info(func(i *tun.DeviceInfo) { i.Kind = "device" }), "device", nil},
		{"one queue", "tun: {queues: 2}", func(*fakeMachine) {}, "queues", []string{"ip link delete tcp0", "ip tuntap add dev tcp0 mode tun multi_queue user $(id -un)"}},
		{"short ring", "", info(func(i *tun.DeviceInfo) { i.TxQueueLen = 500 }), "txqueuelen", []string{"ip link set dev tcp0 txqueuelen 5000"}},
		{"small MTU", "", info(func(i *tun.DeviceInfo) { i.MTU = 1000 }), "mtu", []string{"ip link set dev tcp0 mtu 1280"}},
		{"route elsewhere", "addresses: [10.0.0.2/24]", func(m *fakeMachine) { m.route, m.sysctls["net.ipv4.conf.all.rp_filter"] = "eth0", "2" }, "route", []string{"ip route replace 10.0.0.2/32 dev tcp0"}},
		{"no route", "addresses: ['fd00::2/64']", func(m *fakeMachine) { m.noRoute = errors.New("unreachable") }, "route", []string{"ip route replace fd00::2/128 dev tcp0"}},
		{"no forwarding", "", func(m *fakeMachine) { m.sysctls["net.ipv4.ip_forward"] = "0" }, "forwarding", []string{"sysctl -w net.ipv4.ip_forward=1"}},
		{"no forwarding of IPv6", "", func(m *fakeMachine) { m.sysctls["net.ipv6.conf.all.forwarding"] = "0" }, "forwarding", []string{"sysctl -w net.ipv6.conf.all.forwarding=1"}},
		{"no NAT", "addresses: [10.0.0.2/24]", func(m *fakeMachine) { m.rules = `{"nftables": []}` }, "nat", []string{
			"nft add table inet tcpd", "nft 'add chain inet tcpd postrouting { type nat hook postrouting priority srcnat; }'",
			`nft 'add rule inet tcpd postrouting ip saddr 10.0.0.0/24 oifname != "tcp0" masquerade'`}},
		{"no bridge", "tun: {name: tap0, mode: tap, bridge: br0}", func(*fakeMachine) {}, "bridge", []string{"ip link add br0 type bridge", "ip link set dev br0 up"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := config.Parse("test.yaml", []byte(tt.file))
			if err != nil {
				t.Fatal(err)
			}
			m := healthy()
			tt.change(m)
			var found []finding
			d := examine(c, m, false)
			for _, f := range d.Findings {
				if f.Verdict == missing {
					found = append(found, f)
				}
			}
			if len(found) != 1 || d.Missing != 1 || found[0].Check != tt.check || !slices.Equal(found[0].Fix, tt.fix) {
				t.Errorf("found %+v, want %s alone, with %q", found, tt.check, tt.fix)
			}
		})
	}
}

// Without a capability one has to be the device's user and in its group, as far as it has them; root is a user like others.
func TestDoctorOwner(t *testing.T) {
	for _, tt := range []struct {
		uid, gid int
		may      bool
	}{
		{-1, -1, true}, {1000, -1, true}, {-1, 100, true}, {1000, 100, true},
		{0, -1, false}, {-1, 0, false}, {0, 100, false}, {1000, 0, false}, {1000, 7, false}, {7, 100, false},
	} {
		if owns(tun.DeviceInfo{UID: tt.uid, GID: tt.gid}, 1000, []uint32{100, 101}) != tt.may {
			t.Errorf("a device of user %d and group %d: want %v for user 1000 in groups 100 and 101", tt.uid, tt.gid, tt.may)
		}
	}
}

// A strict filter is no trouble while the routes are right; without them it is the second one.
func TestDoctorReversePath(t *testing.T) {
	c, err := config.Parse("test.yaml", []byte("addresses: [10.0.0.2/24]"))
	if err != nil {
		t.Fatal(err)
	}
	m := healthy()
	m.route = "eth0"
	d := examine(c, m, true)
	at := slices.IndexFunc(d.Findings, func(f finding) bool { return f.Check == "rp_filter" })
	if d.Missing != 2 || !slices.Equal(d.Findings[at].Fix, []string{"sysctl -w net.ipv4.conf.tcp0.rp_filter=2"}) {
		t.Errorf("found %+v", d.Findings)
	}
}

// A rule counts if it translates all of our network, whatever it is called.
func TestNATRules(t *testing.T) {
	match := func(op, right string) string {
		return fmt.Sprintf(`{"match": {"op": "%s", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": %s}}, {"masquerade": null}`, op, right)
	}
	for rule, want := range map[string]bool{
		`{"masquerade": null}`:                                     true,
		`{"snat": {"addr": "192.0.2.1"}}`:                          true,
		`{"accept": null}`:                                         false,
		match("==", `{"prefix": {"addr": "10.0.0.0", "len": 24}}`): true,
		match("==", `{"prefix": {"addr": "10.0.0.0", "len": 8}}`):  true,
		match("==", `{"prefix": {"addr": "10.0.0.0", "len": 25}}`): false,
		match("==", `{"prefix": {"addr": "10.9.0.0", "len": 24}}`): false,
		match("!=", `{"prefix": {"addr": "10.0.0.0", "len": 24}}`): false,
		match("==", `"10.0.0.2"`):                                  false,
		match("==", `{"set": []}`):                                 false,
	} {
		rules, err := natRules([]byte(ruleset(rule)))
		if got := covered(rules, netip.MustParsePrefix("10.0.0.0/24")); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", rule, got, err, want)
		}
	}
	if covered([]natRule{{family: "ip6"}}, netip.MustParsePrefix("10.0.0.0/24")) {
		t.Error("a rule for IPv6 translates IPv4")
	}
	if _, err := natRules([]byte("Error: syntax")); err == nil {
		t.Error("what is not JSON was understood")
	}
}

// What could not be checked is said, and is not missing.
func TestDoctorSaysWhatItCannotCheck(t *testing.T) {
	m := healthy()
	m.noRules, m.control, m.sysctls = errors.New("no nft here"), errors.New("no tcpd is there"), nil
	d := examine(config.Default(), m, false)
	var text, out bytes.Buffer
	if d.Missing != 0 || d.write(&text, false) != nil || strings.Count(text.String(), "\nunknown") != 6 || !strings.Contains(text.String(), "no nft here") {
		t.Errorf("%d missing in\n%s", d.Missing, &text)
	}
	var again diagnosis
	if err := d.write(&out, true); err != nil || json.Unmarshal(out.Bytes(), &again) != nil || len(again.Findings) != len(d.Findings) {
		t.Errorf("as JSON: %v\n%s", err, &out)
	}
}
