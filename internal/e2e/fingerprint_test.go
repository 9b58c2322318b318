package e2e

import (
	"encoding/binary"
	"encoding/hex"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// fingerprint is what nmap -O learns of a host: a few lines of letters (https://nmap.org/book/osdetect-methods.html).
type fingerprint map[string]map[string]string

// scan has nmap probe an open and a closed port, and returns the fingerprint.
func scan(t *testing.T, ns *namespace, host string) fingerprint {
	t.Helper()
	args := []string{"-n", "-Pn", "-O", "--max-os-tries", "1", "-d", "-vv", "--max-retries", "2", "-p", "1,7", host}
	if strings.Contains(host, ":") {
		args = append([]string{"-6"}, args...)
	}
	text := ns.run(t, "nmap", args...)
	var lines strings.Builder
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "OS:"); ok {
			lines.WriteString(strings.TrimSpace(rest))
		}
	}
	print := fingerprint{}
	for _, m := range regexp.MustCompile(`(\w+)\(([^)]*)\)`).FindAllStringSubmatch(lines.String(), -1) {
		print[m[1]] = map[string]string{}
		for pair := range strings.SplitSeq(m[2], "%") {
			name, value, _ := strings.Cut(pair, "=")
			print[m[1]][name] = value
		}
	}
	if len(print) == 0 {
		t.Fatalf("nmap prints no fingerprint:\n%s", text)
	}
	return print
}

// has wants the result of a probe to have these values.
func (p fingerprint) has(t *testing.T, probe string, want ...string) {
	t.Helper()
	for _, w := range want {
		name, value, _ := strings.Cut(w, "=")
		if got, ok := p[probe][name]; !ok || got != value {
			t.Errorf("%s: want %s, got %v", probe, w, p[probe])
		}
	}
}

// TestFingerprint: nmap cannot predict sequence numbers, timestamps or IP identifications, and its probes with odd flags are
// answered as RFC 9293, section 3.10.7, says.
func TestFingerprint(t *testing.T) {
	ns := newNamespace(t, "what nmap -O learns of us")
	start(t, ns, settings{services: []string{echoService}})
	p := scan(t, ns, "10.77.0.2")
	index, err := strconv.ParseUint(p["SEQ"]["SP"], 16, 32)
	if err != nil || index < 0xc0 { // of numbers drawn at random it is about 0x100
		t.Errorf("nmap finds our sequence numbers predictable: %v", p["SEQ"])
	}
	p.has(t, "SEQ", "GCD=1", "TI=Z", "CI=Z", "II=Z") // identifications are zero: packets are never fragmented (RFC 6864)
	if rate := p["SEQ"]["TS"]; slices.Contains([]string{"", "0", "1", "7", "8", "9", "A"}, rate) {
		t.Errorf("nmap finds a clock in our timestamps: %v", p["SEQ"])
	}
	p.has(t, "T1", "R=Y", "DF=Y", "S=O", "A=S+", "F=AS", "Q=") // SYN to the open port
	p.has(t, "ECN", "R=Y", "DF=Y", "Q=")                       // SYN with ECE and CWR
	p.has(t, "T2", "R=N")                                      // no flags, LISTEN: dropped
	p.has(t, "T3", "R=N")                                      // SYN, FIN, URG, PSH: nonsense, dropped
	p.has(t, "T4", "R=Y", "W=0", "S=A", "A=Z", "F=R", "Q=")    // ACK, LISTEN: RST at SEG.ACK
	p.has(t, "T5", "R=Y", "W=0", "S=Z", "A=S+", "F=AR", "Q=")  // SYN, closed port: RST at zero, ACK of the SYN
	p.has(t, "T6", "R=Y", "W=0", "S=A", "A=Z", "F=R", "Q=")    // ACK, closed port
	p.has(t, "T7", "R=Y", "W=0", "S=Z", "A=S+", "F=AR", "Q=")  // FIN, PSH, URG, closed port: the FIN counts one
	p.has(t, "U1", "R=Y", "RIPL=G", "RID=G", "RIPCK=G", "RUCK=G", "RUD=G")
	p.has(t, "IE", "R=Y", "CD=Z")
}

// TestFingerprint6 is the same over IPv6, where nmap prints the answers and judges nothing.
func TestFingerprint6(t *testing.T) {
	ns := newNamespace(t, "what nmap -O learns of us over IPv6")
	start(t, ns, settings{services: []string{echoService}})
	p := scan(t, ns, "fd77::2")
	var numbers, stamps []uint32
	for _, probe := range []string{"S1", "S2", "S3", "S4", "S5", "S6"} {
		a := p.answer(t, probe)
		if flags := a.tcp[13]; flags != 0x12 {
			t.Errorf("%s is answered with flags %#x, want SYN and ACK", probe, flags)
		}
		numbers = append(numbers, binary.BigEndian.Uint32(a.tcp[4:]))
		if stamp, ok := a.timestamp(); ok {
			stamps = append(stamps, stamp)
		} else {
			t.Errorf("%s: an answer without timestamp", probe)
		}
	}
	unpredictable(t, "sequence numbers", numbers)
	unpredictable(t, "timestamps", stamps)
	for probe, want := range map[string]struct {
		flags byte
		seq   bool // RST at the number that the probe acknowledges; else at zero
	}{"T4": {0x04, true}, "T5": {0x14, false}, "T6": {0x04, true}, "T7": {0x14, false}} {
		a := p.answer(t, probe)
		if seq := binary.BigEndian.Uint32(a.tcp[4:]) != 0; a.tcp[13] != want.flags || seq != want.seq {
			t.Errorf("%s: flags %#x, a sequence number: %v; want %+v", probe, a.tcp[13], seq, want)
		}
	}
	for _, silent := range []string{"T2", "T3"} {
		if a, ok := p[silent]; ok {
			t.Errorf("%s is answered: %v", silent, a)
		}
	}
}

// unpredictable wants numbers that were drawn within a second to have no two differences alike: no clock, no counter.
func unpredictable(t *testing.T, what string, numbers []uint32) {
	t.Helper()
	const near = 1 << 22 // more than any clock of ours moves between two probes
	for i := 2; i < len(numbers); i++ {
		d, before := numbers[i]-numbers[i-1], numbers[i-1]-numbers[i-2]
		if d-before+near < 2*near {
			t.Errorf("%s follow each other by %d and %d: %v", what, before, d, numbers)
		}
	}
}

// answer6 is an answer over IPv6.
type answer6 struct{ tcp []byte }

// answer decodes the packet of a result: bytes in hexadecimal, XX for those of addresses, {n} for repetition.
func (p fingerprint) answer(t *testing.T, probe string) answer6 {
	t.Helper()
	var b []byte
	for _, m := range regexp.MustCompile(`([0-9a-f]{2}|XX)(?:\{(\d+)\})?`).FindAllStringSubmatch(p[probe]["P"], -1) {
		value, _ := hex.DecodeString(strings.ReplaceAll(m[1], "XX", "00"))
		count := 1
		if m[2] != "" {
			count, _ = strconv.Atoi(m[2])
		}
		for range count {
			b = append(b, value...)
		}
	}
	const header = 40
	if len(b) < header+20 || b[0]>>4 != 6 || b[6] != 6 {
		t.Fatalf("%s is no TCP over IPv6: %v", probe, p[probe])
	}
	return answer6{b[header:]}
}

// timestamp returns TSval.
func (a answer6) timestamp() (uint32, bool) {
	for o := a.tcp[20:min(int(a.tcp[12]>>4)*4, len(a.tcp))]; len(o) > 1; {
		switch {
		case o[0] == 1:
			o = o[1:]
		case o[0] == 8 && len(o) >= 10:
			return binary.BigEndian.Uint32(o[2:]), true
		case o[1] < 2 || int(o[1]) > len(o):
			return 0, false
		default:
			o = o[o[1]:]
		}
	}
	return 0, false
}
