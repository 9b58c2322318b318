package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"tcpd/config"
)

const twoServices = "services:\n- {name: echo, listen: ':7', echo: {}}\n- {name: web, listen: '10.77.0.2:80', http: {body: x}}\n"

// newConnsSetup starts a daemon with connections: three to echo, of both families, and one to the web.
func newConnsSetup(t *testing.T, text string) (s *setup, socket string) {
	t.Helper()
	s, socket = newControlSetup(t, text)
	for _, to := range []string{"10.77.0.2:7", "[fd77::2]:7", "10.77.0.2:7"} {
		wantEcho(t, s.mustDial(to), "hello")
	}
	conn := s.mustDial("10.77.0.2:80")
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	return s, socket
}

// conns runs the verb and returns its lines.
func connsLines(t *testing.T, socket string, args ...string) []string {
	t.Helper()
	code, stdout, stderr := runLine(append([]string{"conns", "--socket", socket}, args...)...)
	if code != exitOK || stderr != "" {
		t.Fatalf("conns %v exits %d: %s", args, code, stderr)
	}
	return strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
}

func TestConnsCommand(t *testing.T) {
	_, socket := newConnsSetup(t, twoServices)
	lines := connsLines(t, socket)
	if len(lines) != 5 || !strings.HasPrefix(lines[0], "ID ") {
		t.Fatalf("want a header and four connections:\n%s", strings.Join(lines, "\n"))
	}
	row := regexp.MustCompile(`^\d+\.\d+ +ESTAB +0 +\d+ +\S+:(7|80) +\S+:\d+ +(echo|web) +(idle|app) +\S+s +0$`)
	for _, l := range lines[1:] {
		if !row.MatchString(l) {
			t.Errorf("this is no connection: %q", l)
		}
	}
	for filter, want := range map[string]int{
		"state established sport = :80":        1,
		"sport = :7 and src 10.77.0.2":         2,
		"src fd77::/64":                        1,
		"not (sport = :80 or src [fd77::2]:7)": 2,
		"state time-wait":                      0,
		"dport = :1":                           0,
	} {
		if got := len(connsLines(t, socket, "-o", "jsonl", filter)); got != max(want, 1) || want == 0 && connsLines(t, socket, "--no-header", filter)[0] != "" {
			t.Errorf("%q chooses %d connections, want %d", filter, got, want)
		}
	}
	wide := strings.Join(connsLines(t, socket, "-o", "wide", "sport", "=", ":80"), "\n")
	for _, part := range []string{" ts sack ", "cubic rto:", "rtt:", "mss:1448 pmtu:1500 rcvmss:", "cwnd:", "lastsnd:", "bytes_sent:", "segs_in:", "lim:", "skmem:("} {
		if !strings.Contains(wide, part) {
			t.Errorf("wide lacks %q:\n%s", part, wide)
		}
	}
	var list []connView
	if err := json.Unmarshal([]byte(strings.Join(connsLines(t, socket, "-o", "json"), "\n")), &list); err != nil || len(list) != 4 || list[0].MSS == 0 {
		t.Errorf("json gives %d connections, %v", len(list), err)
	}
	if err := json.Unmarshal([]byte(strings.Join(connsLines(t, socket, "-o", "json", "dport", "=", ":1"), "\n")), &list); err != nil || len(list) != 0 {
		t.Errorf("an empty list gives %d connections, %v", len(list), err)
	}
}

func TestConnsCommandRefuses(t *testing.T) {
	_, socket := newControlSetup(t, "services: []")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"conns", "state", "open"}, exitUsage, `at word 2, "open"`},
		{[]string{"conns", "-o", "xml"}, exitUsage, "one of table, wide, json, jsonl"},
		{[]string{"conns", "--socket", "/nonexistent"}, exitFailed, "no tcpd is there"},
		{[]string{"conns", "--socket", "/nonexistent", "-o", "json"}, exitFailed, "no tcpd is there"},
		{[]string{"conn", "--socket", socket, "seven"}, exitFailed, `"seven" is no name of a connection`},
		{[]string{"conn", "--socket", socket, "0.1"}, exitFailed, "there is no connection 0.1"},
		{[]string{"conn", "--socket", socket, "0.1", "-o", "svg"}, exitUsage, "text or json"},
	} {
		code, stdout, stderr := runLine(c.args...)
		if code != c.code || !strings.Contains(stderr, c.want) || stdout != "" {
			t.Errorf("%v exits %d and says %q%q, want %d and %q", c.args, code, stdout, stderr, c.code, c.want)
		}
	}
	response, err := unixClient(socket).Get("http://tcpd/v1/conns?filter=state+open")
	if err != nil || response.StatusCode != 400 {
		t.Errorf("a wrong filter is answered with %v, %v", response, err)
	}
}

func TestConnCommand(t *testing.T) {
	_, socket := newConnsSetup(t, twoServices)
	id := strings.Fields(connsLines(t, socket, "--no-header", "src", "fd77::2")[0])[0]
	code, text, stderr := runLine("conn", "--socket", socket, id)
	if code != exitOK || stderr != "" {
		t.Fatalf("conn exits %d: %s", code, stderr)
	}
	for _, part := range []string{
		id + "  ESTAB  [fd77::2]:7 - [fd77::1]:", "service          echo", "opened by the peer", "Path: LISTEN > SYN-RECEIVED > ESTABLISHED (0s)",
		"<----  PSH ACK seq 1:6 (5) ack 1 win ", "---->  PSH ACK seq 1:6 (5) ack 6 win ",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("the text lacks %q:\n%s", part, text)
		}
	}
	code, text, _ = runLine("conn", "--socket", socket, id, "-o", "json")
	var v connDetail
	if err := json.Unmarshal([]byte(text), &v); code != exitOK || err != nil || v.Recorder != "on" || len(v.Segments) < 2 || len(v.Path) != 3 {
		t.Errorf("json exits %d, %v: %s", code, err, text)
	}
	file := filepath.Join(t.TempDir(), "ladder.svg")
	if code, _, stderr = runLine("conn", "--socket", socket, id, "--svg", file); code != exitOK {
		t.Fatalf("--svg exits %d: %s", code, stderr)
	}
	picture, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	wantPicture(t, string(picture), &v)
}

// wantPicture checks that a picture is well-formed and has an arrow and a caption for every segment.
func wantPicture(t *testing.T, text string, v *connDetail) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the picture is no XML: %v", err)
		}
	}
	if n := strings.Count(text, "marker-end="); n != len(v.Segments) {
		t.Errorf("the picture has %d arrows for %d segments", n, len(v.Segments))
	}
	for i := range v.Segments {
		if !strings.Contains(text, ">"+v.Segments[i].caption()+"<") {
			t.Errorf("the picture lacks %q", v.Segments[i].caption())
		}
	}
}

func TestRecorderOffIsSaid(t *testing.T) {
	s, socket := newConnsSetup(t, twoServices+"recorder: off\n")
	id := strings.Fields(connsLines(t, socket, "--no-header")[0])[0]
	if _, text, _ := runLine("conn", "--socket", socket, id); !strings.Contains(text, "No segments: the recorder is off in the configuration") {
		t.Errorf("the text does not say that the recorder is off:\n%s", text)
	}
	if code, _, stderr := runLine("conn", "--socket", socket, id, "--svg", "-"); code != exitFailed || !strings.Contains(stderr, "the recorder is off") {
		t.Errorf("--svg exits %d and says %q", code, stderr)
	}
	result, err := s.reload(twoServices + "control: {socket: " + socket + "}\n")
	if err != nil || fmt.Sprint(result.Changed) != "[recorder, for new connections]" {
		t.Fatalf("the reload says %v, %v", result.Changed, err)
	}
	wantEcho(t, s.mustDial("10.77.0.2:7"), "hello")
	recorded := 0
	for _, l := range connsLines(t, socket, "--no-header") {
		if _, text, _ := runLine("conn", "--socket", socket, strings.Fields(l)[0]); strings.Contains(text, "> ESTABLISHED") {
			recorded++
		}
	}
	if recorded != 1 {
		t.Errorf("%d connections are recorded after the reload, want the new one", recorded)
	}
}

// A free port is chosen for each service, and said everywhere.
func TestFreePort(t *testing.T) {
	s, socket := newControlSetup(t, "services:\n- {name: a, listen: '10.77.0.2:0', echo: {}}\n- {name: b, listen: '10.77.0.2:0', discard: {}}\n- {name: c, listen: ':0', echo: {}}\n")
	serving := s.d.services.serving()
	seen := map[uint16]bool{}
	for _, what := range serving {
		if p := what.Listen.Port(); p == 0 || seen[p] {
			t.Fatalf("served are %+v", serving)
		}
		seen[what.Listen.Port()] = true
		if !strings.Contains(s.log.String(), "on "+what.ListenText()+", a free port") {
			t.Errorf("the log does not tell %s:\n%s", what.ListenText(), s.log)
		}
	}
	for i, to := range []string{serving[0].ListenText(), "[fd77::2]" + serving[2].ListenText()} {
		wantEcho(t, s.mustDial(to), "hi")
		if l := connsLines(t, socket, "--no-header", "src", to); len(l) != 1 || !strings.Contains(l[0], map[int]string{0: " a ", 1: " c "}[i]) {
			t.Errorf("conns gives %q for %s", l, to)
		}
	}
	_, text, _ := runLine("status", "--socket", socket)
	if !strings.Contains(text, serving[0].ListenText()) || strings.Contains(text, ":0 ") {
		t.Errorf("the status does not tell the ports:\n%s", text)
	}
	// A reload keeps them.
	if _, err := s.reload("services:\n- {name: b, listen: '10.77.0.2:0', discard: {}}\n- {name: a, listen: '10.77.0.2:0', echo: {}}\ncontrol: {socket: " + socket + "}\n"); err != nil {
		t.Fatal(err)
	}
	if now := s.d.services.serving(); len(now) != 2 || now[0].Listen != serving[1].Listen || now[1].Listen != serving[0].Listen {
		t.Errorf("after the reload served are %+v, before %+v", now, serving)
	}
}

func TestServiceOfAnAddress(t *testing.T) {
	list := []config.Service{
		{Name: "any", Listen: netip.AddrPortFrom(netip.Addr{}, 80)}, {Name: "four", Listen: netip.MustParseAddrPort("0.0.0.0:80")},
		{Name: "exact", Listen: netip.MustParseAddrPort("10.77.0.2:80")}, {Name: "other", Listen: netip.AddrPortFrom(netip.Addr{}, 81)},
	}
	for at, want := range map[string]string{"10.77.0.2:80": "exact", "10.77.0.3:80": "four", "[fd77::2]:80": "any", "10.77.0.2:81": "other", "10.77.0.2:82": ""} {
		if got := serviceOf(list, netip.MustParseAddrPort(at), false); got != want {
			t.Errorf("%s belongs to %q, want %q", at, got, want)
		}
	}
	if got := serviceOf(list, netip.MustParseAddrPort("10.77.0.2:80"), true); got != "" {
		t.Errorf("a connection that we opened belongs to %q", got)
	}
}

// A list of more than fits into one answer's buffer, while connections come and go.
func TestConnsWhileTheyComeAndGo(t *testing.T) {
	s, socket := newControlSetup(t, "services:\n"+serviceLine("echo", 7, "echo: {}"))
	var held []net.Conn
	for range 300 {
		held = append(held, s.mustDial("10.77.0.2:7"))
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				if conn, err := s.dial("10.77.0.2:7"); err == nil {
					_ = conn.Close()
				}
			}
		}
	}()
	for range 5 {
		seen := map[string]int{}
		for _, l := range connsLines(t, socket, "--no-header") {
			seen[strings.Fields(l)[5]]++
		}
		for _, c := range held {
			if seen[c.LocalAddr().String()] != 1 {
				t.Fatalf("%v is listed %d times", c.LocalAddr(), seen[c.LocalAddr().String()])
			}
		}
	}
	close(stop)
	<-stopped
}

// A connection that the daemon closed first is in TIME-WAIT: listed when it is asked for, without a name.
func TestConnsInTimeWait(t *testing.T) {
	s, socket := newControlSetup(t, twoServices)
	conn := s.mustDial("10.77.0.2:80")
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	for s.d.stack.Stats().TimeWait == 0 { // the FIN is on its way
		runtime.Gosched()
	}
	want := fmt.Sprintf("- TIME-WAIT 0 0 10.77.0.2:80 %v web - - 0", conn.LocalAddr())
	if l := connsLines(t, socket, "state", "bucket"); len(l) != 2 || strings.Join(strings.Fields(l[1]), " ") != want {
		t.Errorf("TIME-WAIT is listed as\n%s\nwant\n%s", strings.Join(l, "\n"), want)
	}
	if l := connsLines(t, socket, "--no-header"); l[0] != "" {
		t.Errorf("it is listed without being asked for: %q", l)
	}
}
