package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// diagnosis is what `tcpd doctor -o json` prints.
type diagnosis struct {
	Missing  int
	Findings []struct {
		Check, Verdict, Text string
		Fix                  []string
	}
}

// doctor runs tcpd doctor beside a daemon, as a shell would start it.
func (d *daemon) doctor(t *testing.T, more ...string) (found diagnosis, code int) {
	t.Helper()
	cmd := exec.Command(builtBinary(t), append([]string{"doctor", "--config", d.config, "-o", "json"}, more...)...)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(builtBinary(t))+":"+os.Getenv("PATH"))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := d.ns.start(cmd)
	if err == nil {
		_ = cmd.Wait() // the exit code says how it went
		err = json.Unmarshal(out.Bytes(), &found)
	}
	if err != nil {
		t.Fatalf("tcpd doctor: %v\n%s%s", err, &out, &errs)
	}
	return found, cmd.ProcessState.ExitCode()
}

// TestDoctor: a host behind the daemon's machine is out of reach until the commands that doctor prints have run; they are all
// it takes, for both families.
func TestDoctor(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t, "tcpd doctor, and the way to others that it shows")
	d := start(t, ns, settings{services: []string{echoService}})
	far := newNamespace(t, "a host behind the daemon's machine")
	ns.plug(t, "out", far, "eth0", "192.0.2.2/24", "2001:db8::2/64")
	ns.run(t, "ip", "address", "add", "192.0.2.1/24", "dev", "out")
	ns.run(t, "ip", "address", "add", "2001:db8::1/64", "dev", "out", "nodad")
	root := newDir(t)
	if err := os.WriteFile(filepath.Join(root, "index.html"), []byte("from far\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	startNginx(t, far, root)

	if found, code := d.doctor(t, "--local"); code != 0 || found.Missing != 0 {
		t.Errorf("for the host itself something is missing (exit status %d): %+v", code, found)
	}
	found, code := d.doctor(t)
	if code != 1 || found.Missing != 4 {
		t.Fatalf("exit status %d, %d things missing; want 1, and forwarding and NAT of both families: %+v", code, found.Missing, found)
	}
	socket := filepath.Join(d.dir, "control.sock")
	for _, host := range []string{"192.0.2.2", "2001:db8::2"} {
		if out, err := ns.try(builtBinary(t), "ping", "--socket", socket, "-c", "1", "-W", "200ms", host); err == nil {
			t.Errorf("%s is reached before anything was done:\n%s", host, out)
		}
	}
	for _, f := range found.Findings {
		for _, line := range f.Fix {
			t.Log(line)
			ns.run(t, "sh", "-c", line)
		}
	}
	if found, code := d.doctor(t); code != 0 || found.Missing != 0 {
		t.Errorf("after all that was printed has run, something is missing (exit status %d): %+v", code, found)
	}
	for _, host := range []string{"192.0.2.2", "[2001:db8::2]"} {
		if out := ns.run(t, builtBinary(t), "get", "--socket", socket, "http://"+host+"/"); out != "from far\n" {
			t.Errorf("tcpd get from %s prints %q", host, out)
		}
	}
}

// TestDoctorOwner: what doctor says of somebody else's device is what the kernel does.
func TestDoctorOwner(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t, "tcpd doctor on devices that belong to others")
	const nobody = "65534"
	asNobody := func(args ...string) (string, error) {
		line := asUser(nobody, append([]string{builtBinary(t)}, args...)...)
		return ns.try(line[0], line[1:]...)
	}
	for owner, may := range map[string]bool{
		"": true, "user " + nobody: true, "group " + nobody: true, "user " + nobody + " group " + nobody: true,
		"user 0": false, "group 0": false, "user " + nobody + " group 0": false, "user 0 group " + nobody: false,
	} {
		ns.run(t, "ip", append(strings.Fields("tuntap add dev tcp0 mode tun multi_queue"), strings.Fields(owner)...)...)
		ns.run(t, "ip", "address", "add", "10.77.0.1/24", "dev", "tcp0")
		ns.run(t, "ip", "link", "set", "dev", "tcp0", "up", "txqueuelen", "5000")
		_, err := asNobody("nc", "--tun", "tcp0", "--addr", "10.77.0.9/24", "--timeout", "1ms", "10.77.0.1", "9")
		if attached := err != nil && !strings.Contains(err.Error(), "not permitted"); attached != may {
			t.Errorf("owner %q: the kernel lets somebody else attach: %v, want %v (%v)", owner, attached, may, err)
		}
		out, _ := asNobody("doctor", "--local", "--tun", "tcp0", "--create=false", "--addr", "10.77.0.2/24")
		if got := strings.Contains(out, "tcp0 is a tun that this user may attach to"); got != may {
			t.Errorf("owner %q: doctor says that nobody may attach: %v, want %v\n%s", owner, !got, !may, out)
		}
		ns.run(t, "ip", "link", "delete", "tcp0")
	}
}
