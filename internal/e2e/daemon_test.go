package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// daemon is a running tcpd.
type daemon struct {
	ns     *namespace
	cmd    *exec.Cmd
	dir    string // its files
	config string // its configuration file, "" when it runs on the embedded default
	meters bool   // it has metrics
	log    logBuffer
	notify *notifySocket
	ended  chan struct{} // closed when the process has ended
}

// start runs `tcpd --tun tcp0` on a configuration and waits until it says that it is ready.
func start(t *testing.T, ns *namespace, s settings) *daemon {
	t.Helper()
	d := prepare(t, ns)
	d.configure(t, s)
	d.launch(t, builtBinary(t), "--tun", "tcp0", "--config", d.config)
	d.waitReady(t)
	return d
}

// prepare makes the directory and the notification socket of a daemon to launch.
func prepare(t *testing.T, ns *namespace) *daemon {
	t.Helper()
	d := &daemon{ns: ns, dir: newDir(t), ended: make(chan struct{})}
	d.notify = newNotifySocket(t, filepath.Join(d.dir, "notify"))
	return d
}

// newDir makes a directory that every user may enter, with a path short enough for UNIX sockets, which t.TempDir has not.
func newDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tcpd-e2e-")
	if err == nil {
		err = os.Chmod(dir, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// configure writes the configuration file, for the daemon to read at start or at SIGHUP.
func (d *daemon) configure(t *testing.T, s settings) {
	t.Helper()
	d.configureText(t, s.yaml(d.dir))
	d.meters = true
}

func (d *daemon) configureText(t *testing.T, text string) {
	t.Helper()
	d.config = filepath.Join(d.dir, "tcpd.yaml")
	if err := os.WriteFile(d.config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// launch starts the program and does not wait for it. At the end of the test the daemon is stopped and must end well.
func (d *daemon) launch(t *testing.T, name string, args ...string) {
	t.Helper()
	d.cmd = exec.Command(name, args...)
	d.cmd.Stdout, d.cmd.Stderr = &d.log, &d.log
	d.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+d.notify.path)
	if err := d.ns.start(d.cmd); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(d.ended)
		d.cmd.Wait()
	}()
	t.Cleanup(func() { d.finish(t) })
}

// waitReady waits for READY=1 of sd_notify(3), then prepares the namespace for kernel clients.
func (d *daemon) waitReady(t *testing.T) {
	t.Helper()
	began := time.Now()
	select {
	case <-d.notify.ready:
		if took := time.Since(began); took > time.Second {
			t.Logf("the daemon was ready after %v", took)
		}
	case <-d.ended:
		t.Fatalf("the daemon ended instead of getting ready: %v", d.cmd.ProcessState)
	case <-time.After(hung):
		t.Fatal("the daemon never said READY=1")
	}
	d.ns.useCubic(t, "10.77.0.2", "dev", "tcp0")
	if tcp0, err := d.ns.device("tcp0"); err == nil && tcp0.MTU >= minIPv6MTU {
		d.ns.useCubic(t, "fd77::2", "dev", "tcp0")
	}
	d.trace(t)
}

// trace leaves the packets of the daemon's device in the directory of flag -packets.
func (d *daemon) trace(t *testing.T) {
	t.Helper()
	if *packetsDir == "" {
		return
	}
	file := filepath.Join(*packetsDir, strings.ReplaceAll(t.Name(), "/", "-")+".pcap")
	os.Remove(file) // of an earlier run
	tcpdump := exec.Command("tcpdump", "-Z", "root", "-U", "--immediate-mode", "-s", "128", "-i", "tcp0", "-w", file)
	if err := d.ns.start(tcpdump); err != nil {
		t.Fatalf("-packets needs tcpdump: %v", err)
	}
	eventually(t, hung, "tcpdump opens "+file, func() bool { _, err := os.Stat(file); return err == nil })
	t.Cleanup(func() {
		tcpdump.Process.Signal(syscall.SIGINT)
		tcpdump.Wait()
	})
}

// stop ends the daemon with SIGTERM, after which it must exit 0.
func (d *daemon) stop(t *testing.T) {
	t.Helper()
	d.checkAccounts(t)
	d.signal(t, syscall.SIGTERM)
	d.wantExit(t, 0)
}

func (d *daemon) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		t.Fatalf("%v to the daemon: %v", s, err)
	}
}

// wantExit waits until the daemon has ended and checks its exit code.
func (d *daemon) wantExit(t *testing.T, code int) {
	t.Helper()
	select {
	case <-d.ended:
	case <-time.After(hung / 2):
		t.Fatalf("the daemon is still running %v after it should have ended", hung/2)
	}
	if got := d.cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("the daemon ended with %v, want exit status %d", d.cmd.ProcessState, code)
	}
}

func (d *daemon) running() bool {
	select {
	case <-d.ended:
		return false
	default:
		return true
	}
}

// finish stops a daemon that still runs, kills one that does not stop, and shows what happened when the test has failed.
func (d *daemon) finish(t *testing.T) {
	d.ns.explain(t)
	if d.running() {
		d.checkAccounts(t)
		d.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-d.ended:
			if !d.cmd.ProcessState.Success() {
				t.Errorf("the daemon ended with %v after SIGTERM, want exit status 0", d.cmd.ProcessState)
			}
		case <-time.After(hung / 2):
			t.Errorf("the daemon ignored SIGTERM for %v; below is where its goroutines were", hung/2)
			d.kill()
		}
	}
	if log := d.log.String(); strings.Contains(log, "panic:") || strings.Contains(log, "fatal error:") {
		t.Error("the daemon panicked")
	}
	if t.Failed() {
		t.Logf("the daemon's log:\n%s", d.log.excerpt())
	}
}

// kill ends the process so that its log shows every goroutine, and for certain some seconds later.
func (d *daemon) kill() {
	d.cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-d.ended:
	case <-time.After(5 * time.Second):
		d.cmd.Process.Kill()
		<-d.ended
	}
}

// wantLog waits until the daemon has logged a line that contains every one of words, after the first seen bytes of its log.
func (d *daemon) wantLog(t *testing.T, seen int, words ...string) {
	t.Helper()
	what := "a log line with " + strings.Join(words, " and ")
	eventually(t, hung/2, what, func() bool { return hasLine(d.log.String()[seen:], words...) })
}

// logBuffer is what the daemon wrote, readable while it writes.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// hasLine reports whether a line contains every one of words.
func hasLine(text string, words ...string) bool {
lines:
	for line := range strings.Lines(text) {
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue lines
			}
		}
		return true
	}
	return false
}

// excerpt returns the beginning and the end of a log, which is where the reasons are.
func (b *logBuffer) excerpt() string {
	const most = 12 << 10
	text := b.String()
	if len(text) <= 2*most {
		return text
	}
	return text[:most] + "\n[...]\n" + text[len(text)-most:]
}

// exitCode runs the program outside of any namespace until it ends, for what needs no device.
func exitCode(t *testing.T, args ...string) (code int, stderr string) {
	t.Helper()
	var errs bytes.Buffer
	cmd := exec.Command(builtBinary(t), args...)
	cmd.Stderr = &errs
	stuck := time.AfterFunc(hung/2, func() { cmd.Process.Kill() })
	defer stuck.Stop()
	var ended *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), errs.String()
}
