package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// unprivileged is nobody's number: who runs both ends when the tests run as root.
const unprivileged = 65534

// transfers counts those of a run.
var transfers atomic.Int32

// transfer is tcpd send and tcpd recv, joined over UDP on the loopback.
type transfer struct {
	dir        string
	recv, send *exec.Cmd
	log        [2]logBuffer // recv's and send's standard error
}

// newTransfer prepares a transfer of a file over a link that is as bad as impair says, in both directions at both ends.
func newTransfer(t *testing.T, file, impair, port string) *transfer {
	t.Helper()
	x := &transfer{dir: newDir(t)}
	here := fmt.Sprintf("127.77.%d.1", transfers.Add(1)) // all of 127/8 is ours: no port is in anybody's way
	x.recv = x.command(t, &x.log[0], "recv", "--listen", port, "--output", x.path(), "--timeout", "20s",
		"--link", fmt.Sprintf("udp:%s:7001,%s:7002", here, here), "--impair", impair)
	x.send = x.command(t, &x.log[1], "send", "10.77.0.2:"+port, "--timeout", "20s",
		"--link", fmt.Sprintf("udp:%s:7002,%s:7001", here, here), "--impair", impair)
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	x.send.Stdin = in
	return x
}

func (x *transfer) path() string { return filepath.Join(x.dir, "received") }

func (x *transfer) command(t *testing.T, log io.Writer, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), 3*hung)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, builtBinary(t), args...)
	cmd.Stderr = log
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: unprivileged, Gid: unprivileged}}
	}
	return cmd
}

// start starts the receiver, and the sender once it listens.
func (x *transfer) start(t *testing.T) {
	t.Helper()
	x.launch(t, x.recv)
	eventually(t, hung, "recv listens", func() bool { return strings.Contains(x.log[0].String(), "listening") })
	x.launch(t, x.send)
}

func (x *transfer) launch(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
}

// randomFile writes n bytes that follow from a seed, and returns where and their digest.
func randomFile(t *testing.T, n int64) (path string, digest [sha256.Size]byte) {
	t.Helper()
	path = filepath.Join(newDir(t), "file")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(f, h), rand.NewChaCha8([32]byte{1}), n); err != nil {
		t.Fatal(err)
	}
	return path, [sha256.Size]byte(h.Sum(nil))
}

// wantArrived checks both exits and the file.
func (x *transfer) wantArrived(t *testing.T, what string, digest [sha256.Size]byte) {
	t.Helper()
	sent, received := x.send.Wait(), x.recv.Wait()
	b, err := os.ReadFile(x.path())
	if sent != nil || received != nil || err != nil || sha256.Sum256(b) != digest {
		t.Errorf("%s: send %v, recv %v, %d bytes (%v)\nsend: %s\nrecv: %s", what, sent, received, len(b), err, &x.log[1], &x.log[0])
	}
}

// 64 MiB over a link that loses, reorders and duplicates 5% in both directions arrive whole, whatever the seed, between two
// processes without privilege.
func TestFilesOverABadLink(t *testing.T) {
	size, seeds := int64(64<<20), 20
	if testing.Short() {
		size, seeds = 4<<20, 4
	}
	file, digest := randomFile(t, size)
	var all sync.WaitGroup
	began := time.Now()
	for seed := range seeds {
		// Half of it at either end: a packet passes both.
		x := newTransfer(t, file, fmt.Sprintf("loss: 2.5%%, reorder: 2.5%%, duplicate: 2.5%%, seed: %d", seed), "9000")
		x.start(t)
		all.Go(func() { x.wantArrived(t, fmt.Sprintf("seed %d", seed), digest) })
	}
	all.Wait()
	t.Logf("%d transfers of %d bytes side by side took %v", seeds, size, time.Since(began).Round(time.Millisecond))
}

// A sender that is killed half-way leaves an error and no file at the other end; a killed receiver an error.
func TestFilesOfAPeerThatIsKilled(t *testing.T) {
	file, _ := randomFile(t, 64<<20)
	for _, who := range []string{"send", "recv"} {
		x := newTransfer(t, file, "rate: 40mbit", "9000")
		for _, cmd := range []*exec.Cmd{x.recv, x.send} {
			for i, a := range cmd.Args {
				if a == "20s" {
					cmd.Args[i] = "2s"
				}
			}
		}
		x.start(t)
		partial := func() bool {
			list, _ := filepath.Glob(filepath.Join(x.dir, ".received-*"))
			for _, f := range list {
				if info, err := os.Stat(f); err == nil && info.Size() > 1<<20 {
					return true
				}
			}
			return false
		}
		eventually(t, hung, "half of the file has arrived", partial)
		killed, left, log := x.send, x.recv, &x.log[0]
		if who == "recv" {
			killed, left, log = x.recv, x.send, &x.log[1]
		}
		if err := killed.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = killed.Wait()
		if err := left.Wait(); err == nil || !strings.Contains(log.String(), "tcpd: ") {
			t.Errorf("with %s killed the other end exits with %v and says %q, want an error", who, err, log)
		}
		if _, err := os.Stat(x.path()); err == nil {
			t.Errorf("with %s killed half-way there is a file", who)
		}
		if who == "send" && partial() {
			t.Errorf("with %s killed the receiver leaves its temporary file", who)
		}
	}
}

// Every segment is traced at the end that sends it and at the end that gets it.
func TestFilesTrace(t *testing.T) {
	file, digest := randomFile(t, 1<<20)
	x := newTransfer(t, file, "loss: 0%", "9000")
	x.recv.Args, x.send.Args = append(x.recv.Args, "--trace"), append(x.send.Args, "--trace", "--impair", "loss: 20%, seed: 3")
	x.start(t)
	x.wantArrived(t, "traced", digest)
	count := func(log *logBuffer, verb string) (n int) {
		for line := range strings.Lines(log.String()) {
			if strings.HasPrefix(line, verb+" ") {
				n++
			}
		}
		return n
	}
	sent, received, dropped := count(&x.log[1], "SEND"), count(&x.log[0], "RECV"), count(&x.log[1], "DROP")
	if sent == 0 || sent != received || dropped == 0 {
		t.Errorf("sent %d, received %d, dropped %d; want as many received as sent, and some dropped\n%s", sent, received, dropped, &x.log[1])
	}
	const first = "SEND 0 0 1 SYN\n"
	if log := x.log[1].String(); !strings.HasPrefix(log, first) && !strings.HasPrefix(log, "DROP 0 0 1 SYN\n") {
		t.Errorf("the trace begins with %.40q, want %q", log, first)
	}
}
