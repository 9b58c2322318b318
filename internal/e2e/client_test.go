package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// hostAddresses are the kernel's side of a device that a client of ours makes for itself.
var hostAddresses = map[string]string{"IPv4": "10.78.0.1", "IPv6": "[fd78::1]"}

// startNginx serves a directory in a namespace, on port 80 of all addresses.
func startNginx(t *testing.T, ns *namespace, root string) {
	t.Helper()
	dir := newDir(t)
	conf := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`daemon off; master_process off; user root; pid %s/pid; error_log %s/error.log;
events {}
http {
	access_log off; sendfile on; default_type application/octet-stream;
	client_body_temp_path %s/a; proxy_temp_path %s/b; fastcgi_temp_path %s/c; uwsgi_temp_path %s/d; scgi_temp_path %s/e;
	server { listen 0.0.0.0:80; listen [::]:80; listen 0.0.0.0:8080; root %s; }
}
`, dir, dir, dir, dir, dir, dir, dir, root)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("nginx", "-e", filepath.Join(dir, "error.log"), "-c", conf)
	var log logBuffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := ns.start(cmd); err != nil {
		t.Fatalf("nginx: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	eventually(t, hung, "nginx listens", func() bool {
		out, _ := ns.try("ss", "-Hltn", "sport = :80")
		return strings.Contains(out, ":80")
	})
}

// kernelCounts returns what the kernel's TCP of a namespace has counted.
func kernelCounts(t *testing.T, ns *namespace) map[string]uint64 {
	t.Helper()
	counts := map[string]uint64{}
	lines := strings.Split(ns.run(t, "cat", "/proc/net/snmp", "/proc/net/netstat"), "\n")
	for i := 0; i+1 < len(lines); i += 2 { // a line of names, a line of values
		names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
		for k := 1; k < len(names) && strings.HasPrefix(names[0], "Tcp"); k++ {
			n, err := strconv.ParseUint(strings.TrimPrefix(values[k], "-"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			counts[names[k]] = n
		}
	}
	return counts
}

// TestOwnClient: 1 GiB from nginx through our own active open, on a device of the client's own. Nothing is lost or taken for
// lost, both sides close by FIN, and nobody sends a RST.
func TestOwnClient(t *testing.T) {
	ns := newNamespace(t, "a download of 1 GiB by our own client")
	root := newDir(t)
	want := writeFile(t, filepath.Join(root, "large"), giB)
	startNginx(t, ns, root)
	for family, host := range hostAddresses {
		before := kernelCounts(t, ns)
		h := sha256.New()
		var errs bytes.Buffer
		get := exec.Command(builtBinary(t), "get", "--tun", "tcp1", "http://"+host+"/large")
		get.Stdout, get.Stderr = h, &errs
		began := time.Now()
		if err := ns.start(get); err != nil {
			t.Fatal(err)
		}
		if err := get.Wait(); err != nil {
			t.Fatalf("%s: tcpd get: %v\n%s", family, err, &errs)
		}
		rate(t, "tcpd get over "+family, giB, began)
		if got := h.Sum(nil); !bytes.Equal(got, want) {
			t.Errorf("%s: what came has SHA-256 %x, want %x", family, got, want)
		}
		after := kernelCounts(t, ns)
		grown := func(name string) uint64 { return after[name] - before[name] }
		for _, name := range []string{"TCPFastRetrans", "TCPTimeouts", "TCPSlowStartRetrans", "OutRsts", "EstabResets", "AttemptFails"} {
			if grown(name) != 0 {
				t.Errorf("%s: the kernel's %s grew by %d, want none", family, name, grown(name))
			}
		}
		// A machine that has something else to do for two round trips, 200 us here, makes the kernel probe for a loss. Nothing
		// was lost if each probe was a duplicate.
		if again, twice := grown("RetransSegs"), grown("TCPDSACKRecvSegs"); again != twice {
			t.Errorf("%s: the kernel sent %d segments again, and we had %d of them already", family, again, twice)
		} else {
			t.Logf("%s: %d segments sent again as probes", family, again)
		}
		if out := ns.run(t, "ss", "-Htan", "state", "connected", "exclude", "time-wait", "sport = :80"); out != "" {
			t.Errorf("%s: nginx still holds a connection:\n%s", family, out)
		}
	}
}

// The verbs that are clients work standalone, on a device of their own.
func TestOwnClientVerbs(t *testing.T) {
	ns := newNamespace(t, "nc and ping from a device of their own")
	root := newDir(t)
	if err := os.WriteFile(filepath.Join(root, "index.html"), []byte("hello\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	startNginx(t, ns, root)
	run := func(input string, args ...string) string {
		t.Helper()
		cmd := exec.Command(builtBinary(t), args...)
		var out bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &out
		if err := ns.start(cmd); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("tcpd %v: %v\n%s", args, err, &out)
		}
		return out.String()
	}
	for family, host := range hostAddresses {
		host := strings.Trim(host, "[]")
		if out := run("GET / HTTP/1.0\r\n\r\n", "nc", "--tun", "tcp1", host, "80"); !strings.HasSuffix(out, "\r\n\r\nhello\n") {
			t.Errorf("%s: nc prints %q", family, out)
		}
		if out := run("", "ping", "--tun", "tcp1", "-c", "3", "-i", "10ms", host); !strings.Contains(out, "3 sent, 3 received") {
			t.Errorf("%s: ping prints %q", family, out)
		}
	}
	if out := run("", "get", "-v", "--tun", "tcp1", "http://10.78.0.1/"); !strings.Contains(out, "* connected to 10.78.0.1:80\n") || !strings.HasSuffix(out, "hello\n") {
		t.Errorf("get -v prints %q", out)
	}
}
