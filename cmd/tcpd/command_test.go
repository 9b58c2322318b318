package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// Each command line gives the exit code and the texts of its golden file.
func TestCommandLine(t *testing.T) {
	const broken = "../../config/testdata/broken/"
	for name, line := range map[string]string{
		"nothing":           "",
		"help":              "--help",
		"unknown_command":   "serve",
		"unknown_flag":      "--tunn tcp0",
		"extra_argument":    "run now",
		"flag_without_type": "--tun tcp0 --mtu large",
		"flag_value":        "--tun tcp0 --mtu 70000 --addr 10.0.0.2 --log-level loud",
		"broken_file":       "--tun tcp0 --config " + broken + "tab.yaml",
		"run_broken_file":   "run --config " + broken + "tab.yaml",
		"check_broken_file": "check --config " + broken + "indentation.yaml",
		"missing_file":      "run --config testdata/none.yaml",
		"check":             "check",
		"check_flags":       "check --tun tcp7 --addr 10.0.0.2/24 --addr fd00::2/64",
		"check_link":        "check --link udp:127.0.0.1:7001,127.0.0.1:7002 --mtu 1400 --host 10.77.0.1/24",
		"check_file":        "check --config testdata/warning.yaml --tun tcp7",
		"check_print":       "check --print --config testdata/warning.yaml --create=false --queues 2 --metrics 127.0.0.1:9320",
		"reload_nobody":     "reload --socket /nonexistent/tcpd.sock",
		"status_nobody":     "status --config testdata/warning.yaml",
		"reload_broken":     "reload --config testdata/half_edited.yaml",
		"datagram_help":     "datagram --help",
		"conns_help":        "conns --help",
		"conn_help":         "conn --help",
		"conns_wrong":       "conns state established dport",
		"demo_help":         "demo --help",
		"demo_reassembly":   "demo reassembly --help",
		"datagram_nothing":  "datagram",
		"nc_port":           "nc 10.77.0.1 99999",
		"status_both":       "status --config testdata/warning.yaml --socket /x",
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := execute(strings.Fields(line), &stdout, &stderr)
			got := fmt.Sprintf("$ tcpd %s\nexit code %d\n--- stdout\n%s--- stderr\n%s", line, code, &stdout, &stderr)
			wantGolden(t, filepath.Join("testdata", "cli", name+".golden"), got)
		})
	}
}

func TestVersion(t *testing.T) {
	for _, ask := range []string{"version", "--version"} {
		code, stdout, stderr := runLine(ask)
		if code != exitOK || stdout != versionLine() || stderr != "" {
			t.Errorf("tcpd %s exits %d and prints %q %q", ask, code, stdout, stderr)
		}
	}
}
