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
	for _, address := range []string{"192.0.2.1/32", "198.51.100.1/32"} {
		ns.run(t, "ip", "address", "add", address, "dev", "lo")
	}
	lines := examplesOf(t, ns, "tunnel")
	binary := builtBinary(t)
	args := strings.Fields(strings.TrimPrefix(strings.Split(lines[1], "#")[0], "tcpd"))
	far.launch(t, "setpriv", append([]string{"--reuid", nobody, "--regid", nobody, "--clear-groups", binary}, append(args,
		"--socket", far.dir+"/control.sock")...)...)
	<-far.notify.ready
	var log logBuffer
	near := exec.Command(binary, append(strings.Fields(strings.TrimPrefix(lines[0], "sudo tcpd")), "--host", "fd77::1/64")...)
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
