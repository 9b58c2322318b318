package deploy

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tcpd/config"
)

// exposure returns what systemd-analyze makes of the unit, alone or with a drop-in.
func exposure(t *testing.T, dropIn string) (level float64, report string) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		if os.Geteuid() == 0 {
			t.Fatal("systemd-analyze is missing: apt-get install systemd")
		}
		t.Skip("systemd-analyze is not installed: the exposure of tcpd.service is not tested")
	}
	dir := t.TempDir()
	place(t, "tcpd.service", filepath.Join(dir, "tcpd.service"))
	if dropIn != "" {
		place(t, dropIn, filepath.Join(dir, "tcpd.service.d", dropIn))
	}
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", filepath.Join(dir, "tcpd.service")).CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	found := regexp.MustCompile(`Overall exposure level for tcpd\.service: ([0-9.]+)`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("systemd-analyze names no exposure level:\n%s", out)
	}
	level, err = strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return level, string(out)
}

func place(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The unit stays as locked up as it was made: 10 is an ordinary unit, 0 one that can do nothing.
func TestExposure(t *testing.T) {
	for _, test := range []struct {
		dropIn string
		most   float64
	}{{"", 1.7}, {"owned-device.conf", 1.4}} {
		if level, report := exposure(t, test.dropIn); level > test.most {
			t.Errorf("with drop-in %q the exposure level is %v, at most %v is wanted\n%s", test.dropIn, level, test.most, report)
		}
	}
}

// values returns what a unit file assigns to a key, in order.
func values(t *testing.T, file, key string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && k == key {
			list = append(list, v)
		}
	}
	return list
}

// The unit does what the program promises: it says when it is ready, proves that it lives, and a broken file ends it for good, but
// nothing else does.
func TestUnitFitsTheProgram(t *testing.T) {
	for key, want := range map[string]string{
		"Type": "notify", "WatchdogSec": "30s", "Restart": "on-failure", "RestartPreventExitStatus": "78",
		"User": "tcpd", "RuntimeDirectory": "tcpd", "StartLimitIntervalSec": "0",
	} {
		if got := values(t, "tcpd.service", key); !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}

// The networkd files make the device that the reference configuration names, and give it the host's addresses.
func TestNetworkdFitsTheReference(t *testing.T) {
	c, err := config.Load("tcpd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"networkd/10-tcp0.netdev", "networkd/10-tcp0.network"} {
		if got := values(t, file, "Name"); !slices.Equal(got, []string{c.Tun.Name}) {
			t.Errorf("%s is for %q, the reference for %s", file, got, c.Tun.Name)
		}
	}
	var host []netip.Prefix
	for _, a := range values(t, "networkd/10-tcp0.network", "Address") {
		host = append(host, netip.MustParsePrefix(a))
	}
	if !slices.Equal(host, c.Tun.Host) {
		t.Errorf("networkd gives the host %v, the reference %v", host, c.Tun.Host)
	}
	if got := values(t, "networkd/10-tcp0.network", "MTUBytes"); !slices.Equal(got, []string{strconv.Itoa(c.Tun.MTU)}) {
		t.Errorf("networkd sets MTU %q, the reference %d", got, c.Tun.MTU)
	}
}
