package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// capture is a running dumpcap on the daemon's device.
type capture struct {
	cmd  *exec.Cmd
	file string
	log  logBuffer
}

// Bytes of each packet that a capture keeps: the longest headers of IPv6 and TCP, or all.
const (
	headersOnly = 128
	wholePacket = 0
)

// startCapture captures what the device carries.
func startCapture(t *testing.T, ns *namespace, keep int) *capture {
	t.Helper()
	c := &capture{file: filepath.Join(newDir(t), "tcp0.pcapng")}
	c.cmd = exec.Command("dumpcap", "-q", "-i", "tcp0", "-B", "128", "-s", fmt.Sprint(keep), "-w", c.file)
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	if err := ns.start(c.cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.cmd.Process.Kill() })
	eventually(t, hung, "dumpcap opens its file", func() bool { return strings.Contains(c.log.String(), "File: ") })
	return c
}

var captured = regexp.MustCompile(`Packets received/dropped on interface .*: (\d+)/(\d+)`)

// stop ends the capture. It returns how many packets the kernel had to leave out, which a machine may do that is busy otherwise.
func (c *capture) stop(t *testing.T) (missed int) {
	t.Helper()
	var size int64
	var since time.Time
	eventually(t, hung, "dumpcap has written everything", func() bool { // what it has not when it is told to stop is lost
		if info, err := os.Stat(c.file); err == nil && info.Size() != size {
			size, since = info.Size(), time.Now()
		}
		return size > 0 && time.Since(since) > 500*time.Millisecond
	})
	c.cmd.Process.Signal(syscall.SIGINT)
	c.cmd.Wait()
	m := captured.FindStringSubmatch(c.log.String())
	if m == nil {
		t.Fatalf("dumpcap does not say what it captured:\n%s", c.log.String())
	}
	missed, _ = strconv.Atoi(m[2])
	return missed
}

// frame is what tshark says of a TCP packet.
type frame struct {
	number    int
	at        time.Duration // since the first
	ours      bool          // sent by the daemon
	payload   int
	ack       int    // relative
	window    int    // scaled
	checksums string // of TCP and IPv4: 1 is good
	findings  []string
}

// findings are the fields of tshark's sequence analysis that a clean transfer has no use for.
var findings = []string{
	"retransmission", "fast_retransmission", "spurious_retransmission", "out_of_order", "duplicate_ack", "lost_segment",
	"ack_lost_segment", "zero_window", "zero_window_probe", "zero_window_probe_ack", "keep_alive",
}

// dissect has tshark read the capture. port is the daemon's. Checksums are verified only where they are those of the wire: with
// offload they are the kernel's to complete.
func (c *capture) dissect(t *testing.T, port int, checksums bool) (frames []frame) {
	t.Helper()
	verify := strings.ToUpper(fmt.Sprint(checksums))
	args := []string{
		"-n", "-r", c.file, "-Y", "tcp", "-o", "tcp.check_checksum:" + verify, "-o", "ip.check_checksum:" + verify,
		"-T", "fields", "-E", "separator=|",
	}
	fields := []string{
		"frame.number", "frame.time_relative", "tcp.srcport", "tcp.len", "tcp.ack", "tcp.window_size",
		"tcp.checksum.status", "ip.checksum.status",
	}
	for _, f := range findings {
		fields = append(fields, "tcp.analysis."+f)
	}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	out, err := exec.Command("tshark", args...).Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "|")
		if len(f) != len(fields) {
			t.Fatalf("tshark prints %q", line)
		}
		frames = append(frames, newFrame(f, port))
	}
	return frames
}

func newFrame(f []string, port int) (x frame) {
	number := func(s string) int { n, _ := strconv.Atoi(s); return n } // absent: 0
	seconds, _ := strconv.ParseFloat(f[1], 64)
	x = frame{
		number: number(f[0]), at: time.Duration(seconds * 1e9), ours: f[2] == fmt.Sprint(port), payload: number(f[3]),
		ack: number(f[4]), window: number(f[5]), checksums: f[6] + f[7],
	}
	for i, v := range f[8:] {
		if v != "" {
			x.findings = append(x.findings, findings[i])
		}
	}
	return x
}

// TestWireGigabyte lets tshark judge clean transfers of 1 GiB, both ways and over both families. All headers are analysed: with
// offload a transfer is some 30,000 super-packets and acknowledgements.
func TestWireGigabyte(t *testing.T) {
	ns := newNamespace(t, "what tshark says of transfers of 1 GiB")
	start(t, ns, settings{services: []string{
		`{name: discard, listen: ":9", discard: {}}`, `{name: chargen, listen: ":19", chargen: {}}`,
	}})
	for _, family := range families {
		t.Run(family.name+" down", func(t *testing.T) {
			frames := record(t, ns, 19, func() { fetch(t, ns, address(family.host, 19), giB) })
			judgeTransfer(t, frames, true)
		})
		t.Run(family.name+" up", func(t *testing.T) {
			frames := record(t, ns, 9, func() { deliver(t, ns, address(family.host, 9), giB) })
			judgeTransfer(t, frames, false)
		})
	}
}

// record captures the headers of a transfer. One that the capture could not keep up with is repeated.
func record(t *testing.T, ns *namespace, port int, transfer func()) []frame {
	t.Helper()
	for range 5 {
		c := startCapture(t, ns, headersOnly)
		transfer()
		if missed := c.stop(t); missed > 0 {
			t.Logf("the capture missed %d packets: once more", missed)
			continue
		}
		return c.dissect(t, port, false)
	}
	t.Fatal("no capture is complete")
	return nil
}

// fewProbes is what share of the packets may be loss probes, of one segment each: one of so many. A sender whose
// acknowledgements fail to come for twice the round-trip time, here some 100 us, probes (RFC 8985, section 7.2), and on a busy
// machine either end may have no processor for so long.
const fewProbes = 100

// judgeTransfer wants nothing sent again but by loss probes, no repeated acknowledgement that no probe asked for, no hole, no
// window that moved back, and none of ours that closed and had to be probed. A window that closes because the bytes in it
// were not read yet is as it should be.
func judgeTransfer(t *testing.T, frames []frame, down bool) {
	t.Helper()
	bytes, probes, duplicates, closed := 0, 0, 0, 0
	edge := 0 // of our window
	for i, f := range frames {
		if f.ours == down {
			bytes += f.payload
		}
		if f.ours && i > 2 {
			if f.ack+f.window < edge {
				t.Errorf("packet %d: the right edge of our window moves from %d to %d", f.number, edge, f.ack+f.window)
			}
			edge = f.ack + f.window
		}
		for _, what := range f.findings {
			switch {
			case what == "retransmission" && f.ours == down && f.payload <= 1448:
				probes++
			case what == "spurious_retransmission": // tshark also calls it a retransmission
			case what == "duplicate_ack":
				duplicates++
			case what == "zero_window" && f.ours:
				closed++
			case what == "zero_window": // the kernel's reader is slower than we are
			default:
				t.Errorf("packet %d with %d bytes, ours: %v: tshark sees %s", f.number, f.payload, f.ours, what)
			}
		}
	}
	if most := len(frames) / fewProbes; probes > most || duplicates > probes {
		t.Errorf("%d loss probes, want %d at most; %d acknowledgements repeated, want one for a probe at most", probes, most, duplicates)
	}
	if bytes < giB {
		t.Errorf("the capture has %d bytes of payload, want %d at least", bytes, giB)
	}
	t.Logf("%d packets, %d bytes; loss probes: %d; our window was used up %d times, and opened again unasked", len(frames), bytes, probes, closed)
}

// TestWireChecksums has tshark verify every checksum of ours where no offload completes them. (Those of the kernel are verified by
// the daemon, packet by packet.)
func TestWireChecksums(t *testing.T) {
	ns := newNamespace(t, "what tshark says of checksums")
	start(t, ns, settings{tun: []string{"offload: off"}, services: []string{echoService}})
	for _, family := range families {
		t.Run(family.name, func(t *testing.T) {
			c := startCapture(t, ns, wholePacket)
			if err := echo(ns.connect(t, address(family.host, 7)), 9, 8*miB); err != nil {
				t.Fatal(err)
			}
			c.stop(t)
			good := map[string]string{"IPv4": "11", "IPv6": "1"}[family.name]
			ours := 0
			for _, f := range c.dissect(t, 7, true) {
				if !f.ours {
					continue
				}
				if f.checksums != good {
					t.Errorf("packet %d: checksum status of TCP and IPv4 %q, want %q", f.number, f.checksums, good)
				}
				if f.payload > 0 {
					ours++
				}
			}
			if ours < 1000 {
				t.Errorf("%d packets with payload of ours were verified, want thousands", ours)
			}
		})
	}
}

// fetch reads size bytes from a source that never ends.
func fetch(t *testing.T, ns *namespace, address string, size int64) {
	t.Helper()
	conn := ns.connect(t, address)
	if _, err := copyTo(io.Discard, io.LimitReader(conn, size)); err != nil {
		t.Fatalf("download from %s: %v", address, err)
	}
	conn.Close()
}

// deliver writes size bytes and waits until the other end has closed after them.
func deliver(t *testing.T, ns *namespace, address string, size int64) {
	t.Helper()
	conn := ns.connect(t, address)
	for piece, left := make([]byte, 256*kiB), size; left > 0; left -= int64(len(piece)) {
		if _, err := conn.Write(piece); err != nil {
			t.Fatalf("upload to %s: %v", address, err)
		}
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
		t.Fatalf("after an upload to %s: %d bytes and %v", address, len(rest), err)
	}
	conn.Close()
}
