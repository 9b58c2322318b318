package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// demoOutput runs the verb.
func demoOutput(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	root := newRootCommand()
	root.SetArgs(append([]string{"demo"}, args...))
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&out)
	root.SetErr(&errs)
	cmd, err := root.ExecuteC()
	code = report(cmd, err, &errs)
	return code, out.String(), errs.String()
}

// Whatever the order, the message comes out right, every byte is acknowledged, nothing is sent again, and without an
// acknowledgement in between exactly one covers all.
func TestDemoReassembly(t *testing.T) {
	for seed := range uint64(24) {
		code, text, stderr := demoOutput(t, "", "reassembly", "--seed", strconv.FormatUint(seed, 10))
		if code != 0 || stderr != "" {
			t.Fatalf("seed %d exits %d: %s", seed, code, stderr)
		}
		unsorted := ""
		for _, i := range rand.New(rand.NewPCG(seed, 0)).Perm(4) {
			unsorted += demoSegments[i]
		}
		for _, want := range []string{
			"client <- server  SYN ACK", "67 bytes acknowledged, 0 unacknowledged, 0 retransmitted",
			"as it arrived   \"" + unsorted + "\"\n",
			"as delivered    \"Segments may arrive in any order; what is read is what was written.\"\n",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("seed %d: the text lacks %s\n%s", seed, want, text)
			}
		}
		_, quiet, _ := strings.Cut(text, "no acknowledgement in between")
		if strings.Count(quiet, "sent ACK") != 1 || !strings.Contains(quiet, "sent ACK 68\n") {
			t.Errorf("seed %d: want one acknowledgement, of everything:\n%s", seed, quiet)
		}
	}
}

func TestDemoReassemblyOfAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "segments")
	long := strings.Repeat("x", maxDemoSegment)
	if err := os.WriteFile(file, []byte("a\n"+long+"\nc"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		stdin, file string
		code        int
		want        string
	}{
		{"", file, 0, `as delivered    "a` + long + `c"`},
		{"one segment", "-", 0, `as delivered    "one segment"`},
		{"a\n\nc", "-", 1, "-: line 2 is empty"},
		{"a\n" + long + "x\n", "-", 1, "line 2 has 1401 bytes"},
		{strings.Repeat(long+"\n", 11), "-", 1, "from line 11 on there are more than 14000 bytes"},
		{"", "/nonexistent", 1, "/nonexistent"},
	} {
		code, stdout, stderr := demoOutput(t, c.stdin, "reassembly", "--segments", c.file)
		if code != c.code || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("%.40q from %s exits %d, want %d and %.60q:\n%s%s", c.stdin, c.file, code, c.code, c.want, stdout, stderr)
		}
	}
	if code, _, stderr := demoOutput(t, ""); code != 2 || !strings.Contains(stderr, "tcpd demo reassembly") {
		t.Errorf("tcpd demo exits %d: %s", code, stderr)
	}
}
