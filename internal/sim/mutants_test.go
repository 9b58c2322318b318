package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// defects are one small mistake each, and within how many seeds the simulator has to notice.
var defects = []struct {
	name, file, old, new string
	seeds                string
}{
	{"the window may be overrun by a segment", "send.go", "return s.una.Add(int(s.wnd)).Sub(s.nxt)", "return s.una.Add(int(s.wnd)).Sub(s.nxt) + int(s.mss)", "500"},
	{"the right edge retreats when scaling rounds", "receive.go", "	if c.rcv.nxt.Add(field << c.rcv.scale).Less(c.rcv.adv) {", "	if false {", "500"},
	{"SND.UNA follows an acknowledgement of what was never sent", "ack.go", "c.snd.nxt.Less(s.ack)", "c.snd.nxt.Add(1 << 31).Less(s.ack)", "2000"},
	{"the retransmission timer is not armed", "send.go", "	if c.deadlines[timerRetransmit] == 0 {\n		t.setTimer(c, timerRetransmit, now.Add(c.rtt.rto())) // RFC 6298, (5.1)\n	}", "	if c.deadlines[timerRetransmit] == 0 && !fin {\n		t.setTimer(c, timerRetransmit, now.Add(c.rtt.rto())) // RFC 6298, (5.1)\n	}", "500"},
	{"unread data does not reset on Close", "api.go", "case c.rcv.buf.len > 0 || c.state == SynSent:", "case c.state == SynSent:", "500"},
	{"checksums are not verified", "header.go", "if !p.TransportChecksumOK() {", "if false {", "500"},
	{"any RST in the window resets", "arrive.go", "	if s.seq != c.rcv.nxt {\n		t.challengeReset(now, c)\n		return DropResetWindow", "	if false {\n		t.challengeReset(now, c)\n		return DropResetWindow", "500"},
	{"no persist timer", "send.go", "	t.setTimer(c, timerPersist, now.Add(c.rtt.rto()))\n}", "}", "500"},
	{"the delayed acknowledgement never comes", "timer.go", "	c.ackNow = true\n	t.want(c)\n}", "	t.want(c)\n}", "500"},
	{"ICMP is believed without a look at its sequence number", "path.go", "s.Less(c.snd.una) || !s.Less(c.snd.nxt)", "s == c.snd.una+1<<31", "2000"},
}

// TestMutants shows that the oracles bite: the simulator, built with one defect after the other, notices each of them.
func TestMutants(t *testing.T) {
	for _, d := range defects {
		t.Run(d.name, func(t *testing.T) {
			says := runMutant(t, d.file, d.old, d.new, d.seeds)
			if !strings.HasPrefix(says, "seed ") {
				t.Errorf("not noticed in %s seeds: %s", d.seeds, says)
			}
			t.Log(says)
		})
	}
}

// runMutant returns the first line of a simulation with tcp/file changed.
func runMutant(t *testing.T, file, old, changed, seeds string) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "tcp", file)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), old) < 1 {
		t.Fatalf("tcp/%s does not contain %q any more", file, old)
	}
	dir := t.TempDir()
	mutant, overlay := filepath.Join(dir, file), filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: mutant}})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{mutant: []byte(strings.Replace(string(text), old, changed, 1)), overlay: list} {
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	bin := filepath.Join(dir, "sim")
	if out, err := exec.Command("go", "build", "-overlay", overlay, "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, _ := exec.Command(bin, "-seeds", seeds, "-failures", "1").Output() // it fails when it finds something
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}
