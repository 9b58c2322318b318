package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDefault runs the daemon as the README says, without a file, and does what a first visitor does.
func TestDefault(t *testing.T) {
	ns := newNamespace(t, "the embedded configuration with curl, nc and ping")
	d := prepare(t, ns)
	const ownRun = `mount -t tmpfs none /run && exec "$0" "$@"` // its control socket is not to meet another daemon's
	d.launch(t, "unshare", "--mount", "sh", "-c", ownRun, builtBinary(t), "--tun", "tcp0")
	d.waitReady(t)

	t.Run("curl", func(t *testing.T) { testCurl(t, ns) })
	t.Run("echo", func(t *testing.T) { testNetcat(t, ns) })
	t.Run("small services", func(t *testing.T) { testSmallServices(t, ns) })
	t.Run("ping", func(t *testing.T) { testPing(t, ns) })
	t.Run("closed port", func(t *testing.T) { testClosedPort(t, ns) })

	began := time.Now()
	d.stop(t)
	t.Logf("ended %v after SIGTERM", time.Since(began).Round(time.Millisecond))
	if hasLine(d.log.String(), "did not finish") {
		t.Error("every client has gone, yet the daemon had connections left to reset")
	}
	if _, err := ns.device("tcp0"); err == nil {
		t.Error("tcp0, which the daemon created, is still there after it ended")
	}
}

func testCurl(t *testing.T, ns *namespace) {
	for _, url := range []string{"http://10.77.0.2/", "http://[fd77::2]/"} {
		page := ns.run(t, "curl", "--silent", "--show-error", "--fail", "--max-time", "20", url)
		if strings.Contains(page, "<html") {
			t.Errorf("curl %s got a page for browsers, want text:\n%s", url, page)
		}
		for _, fact := range []string{"state", "options", "segment size", "round-trip time", "congestion window", "bytes"} {
			if !strings.Contains(page, fact) {
				t.Errorf("curl %s: the welcome page does not tell the %s of the visitor's connection:\n%s", url, fact, page)
			}
		}
	}
	page := ns.run(t, "curl", "--silent", "--fail", "--max-time", "20", "-H", "Accept: text/html,*/*;q=0.8", "http://10.77.0.2/")
	if !strings.Contains(page, "<") {
		t.Errorf("a browser got no HTML:\n%s", page)
	}
}

func testNetcat(t *testing.T, ns *namespace) {
	for _, family := range families {
		got := ns.run(t, "sh", "-c", "printf hi | nc -N "+family.host+" 7")
		if got != "hi" {
			t.Errorf("printf hi | nc -N %s 7 printed %q, want hi", family.host, got)
		}
	}
}

func testSmallServices(t *testing.T, ns *namespace) {
	for _, family := range families {
		if day := ns.run(t, "nc", "-d", family.host, "13"); !strings.Contains(day, fmt.Sprint(time.Now().Year())) {
			t.Errorf("daytime at %s said %q, without the year", family.host, day)
		}
		if lines := ns.run(t, "sh", "-c", "nc -d "+family.host+" 19 | head -c 100000 | wc -c"); strings.TrimSpace(lines) != "100000" {
			t.Errorf("chargen at %s gave %s bytes, want 100000", family.host, lines)
		}
		if got := ns.run(t, "sh", "-c", "head -c 1000000 /dev/zero | nc -N "+family.host+" 9"); got != "" {
			t.Errorf("discard at %s answered %q", family.host, got)
		}
	}
}

func testPing(t *testing.T, ns *namespace) {
	for _, family := range families {
		for _, size := range []string{"56", "4000", "20000"} { // the larger ones arrive in fragments
			for range 3 { // one by one: of several, ping waits for the last no longer than the others took
				out, err := ns.try("ping", "-n", "-c", "1", "-W", "20", "-s", size, family.host)
				if err != nil {
					t.Errorf("%s: %v", family.name, err)
				}
				t.Log(strings.TrimSpace(out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:]), "for", size, "bytes")
			}
		}
	}
}

func testClosedPort(t *testing.T, ns *namespace) {
	for _, family := range families {
		began := time.Now()
		_, err := ns.dial(address(family.host, 4))
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s, closed port: %v, want connection refused", family.name, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s, closed port: refused after %v, want at once", family.name, took)
		}
	}
}

// TestBrokenConfiguration needs no root: the file is refused before anything is touched.
func TestBrokenConfiguration(t *testing.T) {
	const text = `tun:
  name: tcp0
  mtu: banana
adresses: [10.77.0.2/24]
services:
  - {name: echo, listen: ":7", echo: {}}
`
	file := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--tun", "x", "--config", file},
		{"run", "--tun", "x", "--config", file},
		{"check", "--config", file},
	} {
		code, stderr := exitCode(t, args...)
		if code != 78 {
			t.Errorf("tcpd %s exits %d, want 78", strings.Join(args, " "), code)
		}
		for _, part := range []string{"broken.yaml:3", "mtu: banana", "broken.yaml:4", "adresses"} {
			if !strings.Contains(stderr, part) {
				t.Errorf("tcpd %s does not mention %q:\n%s", strings.Join(args, " "), part, stderr)
			}
		}
	}
}

// TestUsage: a mistake on the command line exits 2 and names the mistake.
func TestUsage(t *testing.T) {
	for _, arg := range []string{"--no-such-flag", "no-such-verb"} {
		code, stderr := exitCode(t, arg)
		if code != 2 || !strings.Contains(stderr, strings.TrimLeft(arg, "-")) {
			t.Errorf("tcpd %s exits %d, want 2 and the mistake by name:\n%s", arg, code, stderr)
		}
	}
	missing := filepath.Join(t.TempDir(), "missing.yaml")
	if code, stderr := exitCode(t, "--tun", "x", "--config", missing); code != 78 || !strings.Contains(stderr, missing) {
		t.Errorf("a missing configuration file exits %d, want 78 and the file's name:\n%s", code, stderr)
	}
}
