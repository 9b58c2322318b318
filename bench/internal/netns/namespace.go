// Package netns makes network namespaces without names. One lasts until its last descriptor, process and socket are gone, so
// nothing stays behind however a measurement ends.
package netns

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace of our own. Its methods may be called concurrently.
type Namespace struct {
	fd   int // the namespace
	home int // the one this process is in
}

// New makes a namespace with lo up. It needs CAP_SYS_ADMIN.
func New() (*Namespace, error) {
	ns := &Namespace{fd: -1, home: -1}
	if err := ns.unshare(); err != nil {
		return nil, fmt.Errorf("cannot make a network namespace (root is needed): %w", err)
	}
	return ns, ns.Run("ip", "link", "set", "lo", "up")
}

// unshare fills in both descriptors.
func (ns *Namespace) unshare() (err error) {
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

// Close gives the namespace up.
func (ns *Namespace) Close() error {
	return errors.Join(unix.Close(ns.fd), unix.Close(ns.home))
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

// Do runs f inside the namespace. Sockets and processes that f creates stay there; goroutines that f starts run outside.
func (ns *Namespace) Do(f func() error) (err error) {
	onThread(func() bool {
		if err = unix.Setns(ns.fd, unix.CLONE_NEWNET); err != nil {
			return true
		}
		err = f()
		return unix.Setns(ns.home, unix.CLONE_NEWNET) == nil
	})
	return err
}

// Start starts cmd inside the namespace. The kernel kills it when this process dies.
func (ns *Namespace) Start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	return ns.Do(cmd.Start)
}

// Run runs a program inside the namespace; the error has what it printed.
func (ns *Namespace) Run(name string, args ...string) error {
	var out bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := ns.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}

// Set writes a setting of the namespace, such as net.ipv4.ip_forward.
func (ns *Namespace) Set(key, value string) error {
	return ns.Do(func() error {
		return os.WriteFile("/proc/sys/"+strings.ReplaceAll(key, ".", "/"), []byte(value), 0o644)
	})
}
