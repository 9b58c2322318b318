package config

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestByteSize(t *testing.T) {
	for text, want := range map[string]ByteSize{
		"0": 0, "1B": 1, "64KiB": 64 << 10, "512MiB": 512 << 20, "2GiB": 2 << 30, "1TiB": 1 << 40,
		"10kB": 10_000, "1_000MB": 1e9, "3 GB": 3e9,
	} {
		got, err := parseByteSize(text)
		if err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
		if back, err := parseByteSize(got.String()); err != nil || back != got {
			t.Errorf("%q is written as %q, which is %d, %v", text, got, back, err)
		}
	}
	for _, text := range []string{"", "1", "512", "1M", "-1MiB", "+1MiB", "1.5GiB", "MiB", "_1MiB", "9999999TiB", "99999999999999999999B"} {
		if got, err := parseByteSize(text); err == nil {
			t.Errorf("%q should be refused, it gave %d", text, got)
		}
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "0s": 0, "500ms": 500 * time.Millisecond, "2h": 2 * time.Hour, "1m30s": 90 * time.Second} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "5", "-1s", "1.5", "1d", "ten"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q should be refused, it gave %v", text, got)
		}
	}
	for d, want := range map[time.Duration]string{0: "0s", 10 * time.Second: "10s", 15 * time.Minute: "15m", 2 * time.Hour: "2h", 90 * time.Second: "1m30s"} {
		if got := duration(d); got != want {
			t.Errorf("%d ns is written as %q, want %q", d, got, want)
		}
	}
}

func TestDeviceName(t *testing.T) {
	for _, name := range []string{"tcp0", "a", "tcp-0.100", "fifteen-bytes-x"} {
		if _, err := parseDevice(name); err != nil {
			t.Errorf("%q should be a device name: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", "a/b", "a b", "tun%d", "a:1", "sixteen-bytes-xx", "a\nb"} {
		if _, err := parseDevice(name); err == nil {
			t.Errorf("%q should not be a device name", name)
		}
	}
}

func TestListenAddress(t *testing.T) {
	for text, want := range map[string]string{
		":7": ":7", "10.0.0.2:80": "10.0.0.2:80", "[fd77::2]:80": "[fd77::2]:80", "0.0.0.0:1": "0.0.0.0:1", "[::]:65535": ":65535", ":0": ":0", "10.0.0.2:0": "10.0.0.2:0",
	} {
		got, err := parseListen(text)
		if err != nil || (Service{Listen: got}).ListenText() != want {
			t.Errorf("%q is %v, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", ":", "7", ":65536", ":-1", "10.0.0.2", "fd77::2:80", "name:80", "[fe80::1%tcp0]:80", "[::ffff:10.0.0.2]:80", "10.0.0.2:http"} {
		if got, err := parseListen(text); err == nil {
			t.Errorf("%q should be refused, it gave %v", text, got)
		}
	}
}

func TestBackend(t *testing.T) {
	for _, text := range []string{"127.0.0.1:3000", "[::1]:3000", "[fe80::1%eth0]:80", "localhost:80", "App-1.my_net.example.:80", "1password.com:80", "unix:/run/app.sock"} {
		if got, err := parseBackend(text); err != nil || got.String() != text {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "127.0.0.1", ":80", "x:0", "x:http", "unix:", "unix:app.sock", "/run/app.sock",
		"bad host:80", "1.2.3:80", "300.1.1.1:80", "a..b:80", ".:80", "-a:80", "a/b:80", strings.Repeat("a", 64) + ":80", "[::1::]:80"} {
		if got, err := parseBackend(text); err == nil {
			t.Errorf("%q should be refused, it gave %v", text, got)
		}
	}
}

// A zone names an interface of the kernel; the hint is to leave it out, and not to add a prefix length.
func TestZones(t *testing.T) {
	for _, text := range []string{"fe80::2%eth0", "fe80::2%eth0/64"} {
		_, err := parsePrefix(text)
		var m *mistake
		if !errors.As(err, &m) || m.hint != "leave out %eth0" {
			t.Errorf("%q: %+v", text, err)
		}
	}
	if _, err := parseSocketAddress("[fe80::1%eth0]:7001"); err == nil || !strings.Contains(err.Error(), "zone") {
		t.Errorf("got %v", err)
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"mtu", "name", "queues", "create"}
	for word, want := range map[string]string{
		"mtuu": `did you mean "mtu"?`, "nmae": `did you mean "name"?`, "Queue": `did you mean "queues"?`,
		"zzz": "known here: create, mtu, name, queues", "": "known here: create, mtu, name, queues",
	} {
		if got := suggest(word, known); got != want {
			t.Errorf("for %q: got %s, want %s", word, got, want)
		}
	}
}
