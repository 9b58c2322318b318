package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// controlListener is a UNIX socket at a path that is ours for as long as we live.
type controlListener struct {
	*net.UnixListener
	path string
	file fs.FileInfo // the socket as it was made
}

// listenControl makes the control socket. One that a live daemon serves is left alone, a stale one is replaced. The lock on
// the directory keeps two daemons that start at the same moment from replacing each other's.
func listenControl(path string) (*controlListener, error) {
	unlock, err := lockDirectory(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(path, 0o660)
	file, statErr := os.Lstat(path)
	if err = errors.Join(err, statErr); err != nil {
		_ = l.Close()
		return nil, err
	}
	return &controlListener{UnixListener: l, path: path, file: file}, nil
}

// Close ends the listener and removes its socket, unless another one is there by now.
func (l *controlListener) Close() error {
	if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.file) {
		_ = os.Remove(l.path)
	}
	return l.UnixListener.Close()
}

// removeStale removes a socket that nobody listens on.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s exists and is not a socket", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = conn.Close()
		return fmt.Errorf("%s is served by another tcpd that is running", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%s is there and nobody knows whether it is in use: %w", path, err)
	}
	return os.Remove(path)
}

// lockDirectory takes the directory's lock, for which it waits a second at most.
func lockDirectory(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for range 100 {
		err = unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = d.Close() }, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = d.Close()
	return nil, fmt.Errorf("the directory %s is locked by another program: %w", dir, err)
}

// peer returns who is at the other end of a UNIX socket.
func peer(conn *net.UnixConn) (*unix.Ucred, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return cred, errors.Join(err, credErr)
}
