package tun

import (
	"net/netip"
	"runtime"
	"strings"
	"testing"
)

func TestOpenRefusesImpossibleSettings(t *testing.T) {
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "no name"},
		{Config{Name: "a-name-too-long-"}, "longer than 15"},
		{Config{Name: "tcp0", Queues: -1}, "between 1 and 256"},
		{Config{Name: "tcp0", Queues: 257}, "between 1 and 256"},
		{Config{Name: "tcp0", MTU: 67}, "between 68 and 65535"},
		{Config{Name: "tcp0", MTU: 65536}, "between 68 and 65535"},
		{Config{Name: "tcp0", Host: make([]netip.Prefix, 1)}, "no address"},
		{Config{Name: "tcp0", Host: []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.1/120")}}, "no address"},
	} {
		if _, err := Open(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want an error that says %q", tt.cfg, err, tt.want)
		}
	}
}

func TestOpenWithoutSuchADevice(t *testing.T) {
	_, err := Open(Config{Name: "tcpd-absent0"})
	if err == nil || !strings.Contains(err.Error(), "ip tuntap add dev tcpd-absent0") {
		t.Errorf("got %v, want the command that makes the device", err)
	}
}

func TestAddressesNeedNoDuplicateDetection(t *testing.T) {
	for _, s := range []string{"10.77.0.1/24", "fd77::1/64"} {
		p := netip.MustParsePrefix(s)
		if a := addressOf(p); prefixOf(a.IPNet) != p {
			t.Errorf("%v became %v on its way to the kernel and back", p, prefixOf(a.IPNet))
		}
	}
}

func TestOffloadNames(t *testing.T) {
	for o, want := range map[Offload]string{OffloadAuto: "auto", OffloadOn: "on", OffloadOff: "off", 9: "unknown"} {
		if o.String() != want {
			t.Errorf("offload %d is called %q, want %q", uint8(o), o, want)
		}
	}
}

func TestChooseQueues(t *testing.T) {
	for _, tt := range []struct {
		what  string
		cfg   Config
		found facts
		want  int
	}{
		{"made", Config{Processors: 4}, facts{}, 4},
		{"made, for all processors", Config{}, facts{}, min(runtime.NumCPU(), autoQueues)},
		{"made on a large machine", Config{Processors: 128}, facts{}, autoQueues},
		{"of an administrator, with several", Config{Processors: 4}, facts{exists: true, multiQueue: true}, 4},
		{"of an administrator, with one", Config{Processors: 4}, facts{exists: true}, 1},
		{"TAP", Config{Processors: 4, tap: true}, facts{}, 1},
	} {
		if got := chooseQueues(tt.cfg, tt.found); got != tt.want {
			t.Errorf("%s: %d queues, want %d", tt.what, got, tt.want)
		}
	}
}
