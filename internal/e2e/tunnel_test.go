package e2e

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestTunnel: the kernel reaches a tcpd without device and privilege, through a tunnel that joins a device to its link.
func TestTunnel(t *testing.T) {
	ns := newNamespace(t, "a tcpd behind a tunnel")
	far := prepare(t, ns)
	if err := os.Chmod(far.dir, 0o777); err != nil {
		t.Fatal(err)
	}
	binary := builtBinary(t)
	far.launch(t, "setpriv", "--reuid", nobody, "--regid", nobody, "--clear-groups", binary,
		"--link", "udp:127.0.0.1:7001,127.0.0.1:7002", "--socket", far.dir+"/control.sock")
	<-far.notify.ready
	var log logBuffer
	near := exec.Command(binary, "tunnel", "--tun", "tcp0", "--link", "udp:127.0.0.1:7002,127.0.0.1:7001")
	near.Stdout, near.Stderr = &log, &log
	if err := ns.start(near); err != nil {
		t.Fatal(err)
	}
	eventually(t, hung, "the tunnel is ready", func() bool { return strings.Contains(log.String(), "ready") })
	for _, host := range []string{"10.77.0.2", "[fd77::2]"} {
		if out := ns.run(t, "curl", "--silent", "--show-error", "--fail", "--max-time", "20", "http://"+host+"/"); !strings.Contains(out, "ESTABLISHED") {
			t.Errorf("%s: curl prints %q", host, out)
		}
		if err := echo(ns.connect(t, host+":7"), 1, 16<<20); err != nil {
			t.Errorf("%s: echo of 16 MiB: %v", host, err)
		}
	}
	if err := near.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := near.Wait(); err != nil {
		t.Errorf("the tunnel ends with %v:\n%s", err, &log)
	}
}
