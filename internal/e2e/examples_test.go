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
	root := newDir(t)
	for _, name := range []string{"index.html", "large"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte("hello\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	startNginx(t, ns, root)
	echoServer(t, ns, "0.0.0.0:7")
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
	if err := os.WriteFile(filepath.Join(d.dir, "FILE"), make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, verb := range []string{
		"conns", "conn", "datagram", "demo reassembly", "doctor", "get", "nc", "ping", "impair", "check", "status", "reload", "version", "profile",
	} {
		for _, line := range examplesOf(t, ns, verb) {
			out := runExample(t, ns, d, verb, line)
			if out == "" && !strings.Contains(line, "--svg") && !strings.Contains(line, "-o FILE") && !strings.Contains(line, "sport = :80") {
				t.Errorf("the example of tcpd %s prints nothing: %s", verb, line)
			}
			ran++
		}
	}
	for _, line := range examplesOf(t, ns, "run") { // which runs until it is told to end
		line, _, _ = strings.Cut(line, "#")
		out := runExample(t, ns, d, "run", line+` & for i in $(seq 50); do ping -c 1 -W 1 10.79.0.2 && break; sleep 0.1; done; kill $! && wait $!`)
		if !strings.Contains(out, "1 received") {
			t.Errorf("what tcpd run shows does not answer: %s", out)
		}
	}
	for _, verb := range []string{"send", "recv"} { // two commands that need each other
		out := runExample(t, ns, d, verb, strings.Join(examplesOf(t, ns, verb), "\n")+"\nwait; cmp copy FILE && rm copy")
		if !strings.Contains(out, "both sides closed") {
			t.Errorf("the example of tcpd %s prints %q", verb, out)
		}
	}
	if picture, err := os.ReadFile(filepath.Join(d.dir, "ladder.svg")); err != nil || !strings.HasPrefix(string(picture), "<svg ") {
		t.Errorf("there is no picture: %v", err)
	}
	if ran < 29 {
		t.Errorf("%d examples were found, there are more", ran)
	}
}

// runExample runs lines of the shell in the daemon's directory, with its control socket in the default place and without need
// of sudo.
func runExample(t *testing.T, ns *namespace, d *daemon, verb, lines string) string {
	t.Helper()
	out, err := ns.try("unshare", "-m", "sh", "-c", `mount -t tmpfs tmpfs /run && mkdir /run/tcpd && ln -s "$1" /run/tcpd/control.sock &&
		cd "$2" && PATH="$3:$PATH" && sudo() { exec "$@"; } && eval "$4"`, "sh", filepath.Join(d.dir, "control.sock"), d.dir, filepath.Dir(builtBinary(t)), lines)
	if err != nil {
		t.Errorf("the example of tcpd %s fails: %s\n%v", verb, lines, err)
	}
	return out
}

// echoServer answers by the kernel's TCP.
func echoServer(t *testing.T, ns *namespace, at string) {
	t.Helper()
	l := ns.listen(t, "tcp", at)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
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
