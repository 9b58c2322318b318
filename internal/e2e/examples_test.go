package e2e

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExamples runs the examples that --help shows, word for word, beside a daemon whose control socket is where they look
// for it: a namespace of mounts has a /run of its own.
func TestExamples(t *testing.T) {
	ns := newNamespace(t, "the examples of --help")
	d := start(t, ns, settings{tun: []string{"queues: 1"}, services: []string{
		echoService, `{name: web, listen: ":80", http: {}}`, `{name: frames, listen: ":114", datagram: {}}`,
	}})
	conn := ns.connect(t, "10.77.0.2:7") // the first connection is 0.1
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, verb := range []string{"conns", "conn", "datagram", "demo reassembly"} {
		for _, line := range examplesOf(t, ns, verb) {
			out, err := ns.try("unshare", "-m", "sh", "-c", `mount -t tmpfs tmpfs /run && mkdir /run/tcpd && ln -s "$1" /run/tcpd/control.sock &&
				cd "$2" && PATH="$3:$PATH" && eval "$4"`, "sh", filepath.Join(d.dir, "control.sock"), d.dir, filepath.Dir(builtBinary(t)), line)
			if err != nil {
				t.Errorf("the example of tcpd %s fails: %s\n%v", verb, line, err)
			}
			if out == "" && !strings.Contains(line, "--svg") && !strings.Contains(line, "sport = :80") {
				t.Errorf("the example of tcpd %s prints nothing: %s", verb, line)
			}
			ran++
		}
	}
	if picture, err := os.ReadFile(filepath.Join(d.dir, "ladder.svg")); err != nil || !strings.HasPrefix(string(picture), "<svg ") {
		t.Errorf("there is no picture: %v", err)
	}
	if ran < 12 {
		t.Errorf("%d examples were found, there are more", ran)
	}
}

// examplesOf returns the lines below "Examples:" of a verb's help.
func examplesOf(t *testing.T, ns *namespace, verb string) []string {
	t.Helper()
	help := ns.run(t, builtBinary(t), append(strings.Fields(verb), "--help")...)
	_, after, found := strings.Cut(help, "\nExamples:\n")
	text, _, _ := strings.Cut(after, "\n\n")
	if !found || text == "" {
		t.Fatalf("the help of tcpd %s has no example:\n%s", verb, help)
	}
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}
