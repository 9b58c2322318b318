package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tcpd/service"
	"tcpd/service/datagram"
)

// frameEcho serves the echo of frames by the kernel's TCP.
func frameEcho(t *testing.T) (*service.Datagram, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &service.Datagram{}
	go func() { _ = s.Serve(t.Context(), l) }()
	t.Cleanup(func() { _ = l.Close() })
	return s, l.Addr().String()
}

// runDatagram runs the verb with an input.
func runDatagram(t *testing.T, input string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	root := newRootCommand()
	root.SetArgs(append([]string{"datagram"}, args...))
	root.SetIn(strings.NewReader(input))
	root.SetOut(&out)
	root.SetErr(&errs)
	cmd, err := root.ExecuteC()
	code = report(cmd, err, &errs)
	return code, out.String(), errs.String()
}

func TestDatagramSendsLinesAndFiles(t *testing.T) {
	s, address := frameEcho(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("a\nb"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		input  string
		args   []string
		want   string
		frames uint64
	}{
		{"one\n\nthree", []string{address}, "one\n\nthree\n", 3},
		{"all\nof it\n", []string{"--hex", address, file, "-"}, "610a62\n616c6c0a6f662069740a\n", 2},
		{"", []string{address}, "", 0},
		{strings.Repeat("line\n", 20000), []string{address}, strings.Repeat("line\n", 20000), 20000},
	} {
		before := s.Snapshot().Frames.Received
		code, stdout, stderr := runDatagram(t, c.input, c.args...)
		if code != 0 || stdout != c.want || stderr != "" {
			t.Errorf("%v exits %d and prints %.200q %q, want %.200q", c.args, code, stdout, stderr, c.want)
		}
		if n := s.Snapshot().Frames.Received - before; n != c.frames {
			t.Errorf("%v sent %d frames, want %d", c.args, n, c.frames)
		}
	}
}

func TestDatagramSaysWhatIsWrong(t *testing.T) {
	_, address := frameEcho(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write(append(datagram.Append(nil, []byte("hello")), "HTTP/1.1 400"...))
			_, _ = conn.Read(make([]byte, 100))
			_ = conn.Close()
		}
	}()
	for _, c := range []struct {
		input string
		args  []string
		want  string
	}{
		{strings.Repeat("x", datagram.MaxPayload+1), []string{address}, "longer than 65535 bytes"},
		{"", []string{address, "/nonexistent"}, "/nonexistent: no such file"},
		{"x\n", []string{l.Addr().String()}, "at offset 8, after 1 whole frames, is byte 0x48 and not the marker 0x72"},
		{"", []string{"127.0.0.1:0"}, "refused"},
	} {
		code, _, stderr := runDatagram(t, c.input, c.args...)
		if code != exitFailed || !strings.Contains(stderr, c.want) {
			t.Errorf("%.80v exits %d and says %q, want %q", c.args, code, stderr, c.want)
		}
	}
}
