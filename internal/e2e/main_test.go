package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// hung bounds every wait for something that takes milliseconds when it works: only what hangs takes longer.
const hung = 60 * time.Second

var (
	givenBinary = flag.String("tcpd", "", "test this binary instead of building one")
	packetsDir  = flag.String("packets", "", "leave a packet trace of every daemon in this directory")
)

// buildDir is where the binary under test is built. Unprivileged daemons must be able to execute it.
var buildDir string

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "tcpd-e2e-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "no directory to build tcpd in:", err)
		os.Exit(1)
	}
	buildDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

var build = sync.OnceValues(func() (string, error) {
	if *givenBinary != "" {
		return filepath.Abs(*givenBinary)
	}
	path := filepath.Join(buildDir, "tcpd")
	out, err := exec.Command("go", "build", "-o", path, "tcpd/cmd/tcpd").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build tcpd/cmd/tcpd: %w\n%s", err, out)
	}
	return path, nil
})

// builtBinary returns the path of the program under test, built once a run.
func builtBinary(t *testing.T) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// tools are the programs that the tests run, with the Debian package of each.
var tools = map[string]string{
	"curl":    "curl",
	"nc":      "netcat-openbsd",
	"ping":    "iputils-ping",
	"nft":     "nftables",
	"nginx":   "nginx-light",
	"ip":      "iproute2",
	"ss":      "iproute2",
	"setpriv": "util-linux",
	"sysctl":  "procps",
	"unshare": "util-linux",
	"dumpcap": "wireshark-common",
	"tshark":  "tshark",
	"nmap":    "nmap",
}

// requireTools fails the test when a tool is missing: a test that is quietly not run protects nothing.
func requireTools(t *testing.T) {
	t.Helper()
	for tool, pkg := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Errorf("%s is missing: apt-get install %s", tool, pkg)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// eventually waits until holds says true. It fails the test, with what was waited for, when that takes longer than within.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	if !poll(within, holds) {
		t.Fatalf("not within %v: %s", within, what)
	}
}

// poll waits until holds says true, and reports whether it did.
func poll(within time.Duration, holds func() bool) bool {
	for deadline := time.Now().Add(within); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// next returns the next value of a channel, or fails the test with what never came.
func next[T any](t *testing.T, from <-chan T, what string) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(2 * hung): // beyond the deadline of any connection
		t.Fatalf("%s never came", what)
	}
	return value
}
