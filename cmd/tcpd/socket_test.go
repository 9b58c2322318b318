package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func mustListenControl(t *testing.T, path string) *controlListener {
	t.Helper()
	l, err := listenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestControlSocketMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	l := mustListenControl(t, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket's mode is %v, %v; want 0660", info.Mode(), err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Error("the socket is still there after Close")
	}
}

func TestControlSocketOfALiveDaemonIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	mustListenControl(t, path)
	if _, err := listenControl(path); err == nil || !strings.Contains(err.Error(), "another tcpd") {
		t.Errorf("a second daemon got %v, want an error that names the first", err)
	}
	if conn, err := net.Dial("unix", path); err != nil {
		t.Errorf("the first daemon cannot be reached any more: %v", err)
	} else {
		_ = conn.Close()
	}
}

func TestStaleControlSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	mustListenControl(t, path)
}

func TestControlSocketIsNoOtherFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenControl(path); err == nil {
		t.Error("a file should not be replaced by the socket")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "text" {
		t.Errorf("the file is now %q, %v", text, err)
	}
}

// Whoever has put another socket at the path keeps it.
func TestCloseLeavesAnotherSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	first := mustListenControl(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	mustListenControl(t, path)
	_ = first.Close()
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the second socket went with the first: %v", err)
	}
}
