package main

import (
	"net/netip"
	"strings"
	"testing"

	"tcpd/tcp"
)

func TestFilter(t *testing.T) {
	web := [2]netip.AddrPort{netip.MustParseAddrPort("10.77.0.2:80"), netip.MustParseAddrPort("10.77.0.1:40000")}
	six := [2]netip.AddrPort{netip.MustParseAddrPort("[fd77::2]:7"), netip.MustParseAddrPort("[fd77::1]:443")}
	for _, c := range []struct {
		filter   string
		web, six bool
	}{
		{"", true, true},
		{"state established", true, true},
		{"state established dport = :80", false, false},
		{"sport = :80", true, false},
		{"sport = :http", true, false},
		{"sport :80", true, false},
		{"sport 80", true, false},
		{"sport != :80", false, true},
		{"sport neq :80", false, true},
		{"sport<:80", false, true},
		{"sport <= 80", true, true},
		{"dport > 443", true, false},
		{"dport ge 443", true, true},
		{"dport lt 443", false, false},
		{"dst 10.77.0.1", true, false},
		{"dst = 10.77.0.1:40000", true, false},
		{"dst 10.77.0.1:40001", false, false},
		{"dst 10.0.0.0/8", true, false},
		{"src fd77::2", false, true},
		{"src [fd77::2]", false, true},
		{"src [fd77::2]:7", false, true},
		{"src [fd77::2]:8", false, false},
		{"src fd77::/64", false, true},
		{"dst != 10.77.0.1", false, true},
		{"dst *:443", false, true},
		{"dst :443", false, true},
		{"dst *", true, true},
		{"not dst 10.77.0.1", false, true},
		{"! ( dst 10.77.0.1 )", false, true},
		{"!dst 10.77.0.1", false, true},
		{"sport = :80 or sport = :7", true, true},
		{"sport = :80 and dport = :443", false, false},
		{"sport = :80 dport = :40000", true, false},
		{"sport = :80 & dport = :40000 | sport = :7", true, true},
		{"sport = :7 or sport = :80 and dport = :1", false, true},
		{"(sport = :7 or sport = :80) and dport = :40000", true, false},
		{"(sport=:7||sport=:80)&&dport=:40000", true, false},
		{"not not sport = :80", true, false},
		{"state time-wait", false, false},
		{"exclude time-wait", true, true},
		{"exclude established", false, false},
		{"state all exclude established", false, false},
		{"state connected exclude syn-recv sport = :7", false, true},
	} {
		f, err := parseFilter(c.filter)
		if err != nil {
			t.Errorf("%q: %v", c.filter, err)
			continue
		}
		if got := [2]bool{f.takes(tcp.Established, web[0], web[1]), f.takes(tcp.Established, six[0], six[1])}; got != [2]bool{c.web, c.six} {
			t.Errorf("%q takes %v, want %v %v", c.filter, got, c.web, c.six)
		}
	}
}

func TestFilterStates(t *testing.T) {
	var none netip.AddrPort
	for filter, want := range map[string][]tcp.State{
		"":                                 {tcp.Established, tcp.SynSent, tcp.FinWait1, tcp.FinWait2, tcp.CloseWait, tcp.LastAck, tcp.Closing},
		"state time-wait state last-ack":   {tcp.TimeWait, tcp.LastAck},
		"state bucket":                     {tcp.SynReceived, tcp.TimeWait},
		"state bucket exclude time-wait":   {tcp.SynReceived},
		"exclude connected exclude closed": {},
	} {
		f, err := parseFilter(filter)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, s := range stateNames {
			if f.takes(s.state, none, none) {
				n++
			}
		}
		for _, s := range want {
			if !f.takes(s, none, none) {
				t.Errorf("%q does not take %v", filter, s)
			}
		}
		if n != len(want) {
			t.Errorf("%q takes %d states, want %v", filter, n, want)
		}
	}
}

func TestFilterSaysWhatIsWrong(t *testing.T) {
	for filter, want := range map[string]string{
		"state":                         "at its end",
		"state open":                    `at word 2, "open"`,
		"port 80":                       `at word 1, "port"`,
		"dport = :x":                    `at word 3, ":x": it must be a port`,
		"dport = 70000":                 "it must be a port",
		"dport =":                       "at its end: dport is compared with nothing",
		"dst < 10.0.0.1":                "compared with = or != only",
		"dst 10.0.0":                    "it must be an address",
		"dst 10.0.0.0/33":               "it must be an address",
		"( dport = :80":                 "a closing parenthesis is missing",
		"dport = :80 )":                 `at word 4, ")"`,
		"dport = :80 or":                "at its end",
		"not":                           "at its end",
		"dport = :80 state established": `at word 4, "state"`,
	} {
		if _, err := parseFilter(filter); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v, want %s", filter, err, want)
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{"state established dport = :80", "(src 10.0.0.0/8 or dst [::1]:80) and not sport >= 1024", "!!dport!=:1|&"} {
		f.Add(s)
	}
	a := netip.MustParseAddrPort("10.77.0.2:80")
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 2000 {
			return
		}
		if m, err := parseFilter(s); err == nil {
			m.takes(tcp.Established, a, a) // whatever it says: it can be asked
		}
	})
}
