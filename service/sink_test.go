package service

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stored returns the files in a directory, by name.
func stored(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func TestSinkStoresStreamsWhole(t *testing.T) {
	for _, family := range families {
		dir := t.TempDir()
		s := &Sink{Dir: dir}
		l := listen(t, "tcp", family)
		start(t, s, l)
		want := map[string]bool{}
		for _, data := range [][]byte{[]byte("first"), bytes.Repeat([]byte("0123456789abcdef"), 1<<16), {}} {
			conn := connect(t, l)
			if _, err := conn.Write(data); err != nil {
				t.Fatal(err)
			}
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("%s: after the FIN the sink sends %v, want its FIN", family, err)
			}
			want[string(data)] = true
		}
		files := stored(t, dir)
		for name, data := range files {
			if !want[string(data)] || !strings.Contains(name, "Z-") {
				t.Errorf("%s: a file %q of %d bytes that nobody sent", family, name, len(data))
			}
		}
		if len(files) != len(want) {
			t.Errorf("%s: %d files, want %d", family, len(files), len(want))
		}
	}
}

func TestSinkLeavesNothingOfAStreamThatWasCut(t *testing.T) {
	dir := t.TempDir()
	s := &Sink{Dir: dir}
	l := listen(t, "tcp", families[0])
	start(t, s, l)
	conn := connect(t, l)
	if _, err := conn.Write([]byte("the first half")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the stream has a file", func() bool { return len(stored(t, dir)) == 1 })
	for name := range stored(t, dir) {
		if !strings.HasPrefix(name, ".") {
			t.Errorf("half a stream is called %q", name)
		}
	}
	reset(conn)
	waitFor(t, "the connection is counted as reset", func() bool { return s.Snapshot().Ended[ClientReset] == 1 })
	if files := stored(t, dir); len(files) != 0 {
		t.Errorf("a stream that was cut left %d files", len(files))
	}
}

func TestSinkThatCannotStoreResets(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := &Sink{Dir: dir}
	l := listen(t, "tcp", families[0])
	start(t, s, l)
	if err := connect(t, l).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the sink serves", func() bool { return s.Snapshot().Ended[Finished] == 1 })
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", l.Addr().String())
	if err == nil { // the reset may come before the dial is over
		_, err = watched(t, conn).Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a stream that cannot be stored ends with %v, want a reset", err)
	}
	waitFor(t, "it is counted", func() bool { return s.Snapshot().Ended[StoreFailed] == 1 })
}

func TestSinkNeedsADirectory(t *testing.T) {
	s := &Sink{Dir: filepath.Join(t.TempDir(), "missing")}
	if err := s.Serve(t.Context(), listen(t, "tcp", families[0])); err == nil {
		t.Error("a sink without its directory serves")
	}
}

func TestSinkNamesAreFileNames(t *testing.T) {
	s := &Sink{}
	seen := map[string]bool{}
	for _, ip := range []string{"192.0.2.1", "2001:db8::1", "fe80::1"} {
		for range 2 {
			name := s.name(&net.TCPAddr{IP: net.ParseIP(ip), Port: 80, Zone: ""})
			if seen[name] || strings.ContainsAny(name, "/:[] ") {
				t.Errorf("%q is used twice, or no good name", name)
			}
			seen[name] = true
		}
	}
}

// waitFor polls until a condition holds.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %v it is still not so that %s", patience, what)
		}
	}
}
