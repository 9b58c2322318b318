package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace without a name: it lasts until its last descriptor, process and socket are gone, so
// nothing of it stays behind however the run ends.
type namespace struct {
	fd   int // the namespace
	home int // the one the test's process is in

	explained sync.Once
}

// newNamespace makes a namespace with lo up. Without root it skips the test and says what was not tested.
func newNamespace(t *testing.T, tests string) *namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("needs root for network namespaces; not tested: %s", tests)
	}
	requireTools(t)
	ns := &namespace{fd: -1, home: -1}
	t.Cleanup(func() {
		unix.Close(ns.fd)
		unix.Close(ns.home)
	})
	if err := ns.unshare(); err != nil {
		t.Fatalf("cannot make a network namespace (as root, outside of containers without CAP_SYS_ADMIN, this works): %v", err)
	}
	ns.run(t, "ip", "link", "set", "lo", "up")
	ns.useCubic(t, "local", "127.0.0.1", "dev", "lo", "table", "local", "proto", "kernel", "scope", "host", "src", "127.0.0.1")
	return ns
}

// useCubic makes kernel connections over a route use CUBIC whatever the machine's default is: the common peer, one that reacts
// to loss, and one that does not pace what only tests bulk. A namespace may not choose a restricted algorithm by sysctl; a
// route may.
func (ns *namespace) useCubic(t *testing.T, route ...string) {
	t.Helper()
	ns.run(t, "ip", append(append([]string{"route", "replace"}, route...), "congctl", "cubic")...)
}

// explain prints the kernel's view of the connections when the test has failed, before they are closed.
func (ns *namespace) explain(t *testing.T) {
	if !t.Failed() {
		return
	}
	ns.explained.Do(func() {
		sockets, _ := ns.try("ss", "-tanei")
		t.Logf("the kernel's connections when the test failed:\n%s", sockets)
	})
}

// unshare fills in both descriptors.
func (ns *namespace) unshare() (err error) {
	const own = "/proc/thread-self/ns/net"
	onThread(func() bool {
		if ns.home, err = unix.Open(own, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return true
		}
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return true
		}
		ns.fd, err = unix.Open(own, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return unix.Setns(ns.home, unix.CLONE_NEWNET) == nil
	})
	return err
}

// onThread runs f on a thread of its own. The thread ends with f unless f says that it left the thread clean.
func onThread(f func() (clean bool)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if f() {
			runtime.UnlockOSThread()
		}
	}()
	<-done
}

// do runs f inside the namespace. The sockets and processes that f creates stay there. Goroutines that f starts run outside.
func (ns *namespace) do(f func() error) (err error) {
	onThread(func() bool {
		if err = unix.Setns(ns.fd, unix.CLONE_NEWNET); err != nil {
			return true
		}
		err = f()
		return unix.Setns(ns.home, unix.CLONE_NEWNET) == nil
	})
	return err
}

// start starts cmd inside the namespace. The kernel kills it when the test's process dies.
func (ns *namespace) start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &unix.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	return ns.do(cmd.Start)
}

// try runs a program inside the namespace and returns its output, standard error included.
func (ns *namespace) try(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), hung)
	defer cancel()
	var out strings.Builder
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := ns.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), errors.Join(err, ctx.Err()), out.String())
	}
	return out.String(), err
}

// run is try for a program that must succeed.
func (ns *namespace) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := ns.try(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// dial connects with the kernel's TCP. Whatever is done with the connection fails after hung.
func (ns *namespace) dial(address string) (*net.TCPConn, error) {
	var conn net.Conn
	err := ns.do(func() (err error) {
		conn, err = (&net.Dialer{Timeout: hung / 2}).Dial("tcp", address)
		return err
	})
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(hung))
	return conn.(*net.TCPConn), nil
}

// connect is dial for a connection that must succeed. It is closed at the end of the test.
func (ns *namespace) connect(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	conn, err := ns.dial(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ns.explain(t)
		conn.Close()
	})
	return conn
}

// listen opens a kernel listener inside the namespace.
func (ns *namespace) listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	var l net.Listener
	err := ns.do(func() (err error) {
		l, err = net.Listen(network, address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// device looks a network device up inside the namespace.
func (ns *namespace) device(name string) (device *net.Interface, err error) {
	err = ns.do(func() (err error) {
		device, err = net.InterfaceByName(name)
		return err
	})
	return device, err
}
