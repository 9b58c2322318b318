package main

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"testing"
)

func TestProfileCommand(t *testing.T) {
	_, socket := newControlSetup(t, "")
	name := filepath.Join(t.TempDir(), "cpu.pprof")
	if code, stdout, stderr := runLine("profile", "--socket", socket, "--for", "1s", name); code != exitOK || stdout+stderr != "" {
		t.Fatalf("profile exits %d and prints\n%s%s", code, stdout, stderr)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(z); err != nil || !strings.Contains(string(text), "samples") || !strings.Contains(string(text), "nanoseconds") {
		t.Errorf("%d bytes that are no profile, %v", len(text), err)
	}

	for _, length := range []string{"0s", "51s"} {
		code, _, stderr := runLine("profile", "--socket", socket, "--for", length, name)
		if code != exitUsage || !strings.Contains(stderr, "a profile takes 1s to 50s") {
			t.Errorf("--for %s exits %d and prints %s", length, code, stderr)
		}
	}
	code, _, stderr := runLine("profile", "--socket", socket, "--for", "50s", "/nonexistent/cpu.pprof") // not after 50 s
	if code != exitFailed || !strings.Contains(stderr, "create /nonexistent/cpu.pprof: no such file") {
		t.Errorf("a file that cannot be: exit %d, %s", code, stderr)
	}
	for _, length := range []string{"", "x", "-1", "60000"} {
		_, err := client{socket: socket}.open(t.Context(), http.MethodGet, "/v1/profile?for="+length, nil, patience)
		if err == nil || !strings.Contains(err.Error(), "up to 50000 milliseconds") {
			t.Errorf("for=%s: %v", length, err)
		}
	}
}

// TestProfile_oneAtATime: the second is told so. One whose client has gone ends at once, and the next can begin.
func TestProfile_oneAtATime(t *testing.T) {
	s, socket := newControlSetup(t, "")
	if err := pprof.StartCPUProfile(io.Discard); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := runLine("profile", "--socket", socket, "--for", "1s", filepath.Join(t.TempDir(), "cpu.pprof"))
	pprof.StopCPUProfile()
	if code != exitFailed || !strings.Contains(stderr, "no profile is made: cpu profiling already in use; wait") {
		t.Errorf("the second exits %d and prints %s", code, stderr)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	s.d.serveProfile(httptest.NewRecorder(), httptest.NewRequestWithContext(gone, http.MethodGet, "/v1/profile?for=50000", nil))
	if err := pprof.StartCPUProfile(io.Discard); err != nil {
		t.Errorf("after a client has gone: %v", err)
	}
	pprof.StopCPUProfile()
}
