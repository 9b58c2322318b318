package e2e

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestGigabyteDown: curl fetches 1 GiB that our HTTP service reads from a file.
func TestGigabyteDown(t *testing.T) {
	ns := newNamespace(t, "a download of 1 GiB by HTTP")
	root := newDir(t)
	want := writeFile(t, filepath.Join(root, "large"), giB)
	start(t, ns, settings{services: []string{fmt.Sprintf(`{name: web, listen: ":80", http: {root: %q}}`, root)}})
	for _, host := range []string{"10.77.0.2", "[fd77::2]"} {
		h := sha256.New()
		var errs strings.Builder
		curl := exec.Command("curl", "--silent", "--show-error", "--fail", "--max-time", "60", "http://"+host+"/large")
		curl.Stdout, curl.Stderr = h, &errs
		began := time.Now()
		if err := ns.start(curl); err != nil {
			t.Fatal(err)
		}
		if err := curl.Wait(); err != nil {
			t.Fatalf("curl from %s: %v\n%s", host, err, errs.String())
		}
		rate(t, "download from "+host, giB, began)
		if got := h.Sum(nil); !bytes.Equal(got, want) {
			t.Errorf("what curl got from %s has SHA-256 %x, want %x", host, got, want)
		}
	}
}

// writeFile makes a file of pseudo-random bytes and returns its SHA-256.
func writeFile(t *testing.T, path string, size int64) []byte {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	h := sha256.New()
	if err := send(io.MultiWriter(file, h), 1, size); err != nil {
		t.Fatal(err)
	}
	return h.Sum(nil)
}

// TestGigabyteUp: the kernel sends 1 GiB, which our proxy hands to a backend that answers with the SHA-256.
func TestGigabyteUp(t *testing.T) {
	ns := newNamespace(t, "an upload of 1 GiB")
	l := backend(t, ns, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		h := sha256.New()
		if _, err := copyTo(h, conn); err == nil {
			conn.Write(h.Sum(nil))
		}
	})
	start(t, ns, settings{services: []string{proxyService("sink", sinkPort, l.Addr().String())}})
	for _, family := range families {
		conn := ns.connect(t, address(family.host, sinkPort))
		h := sha256.New()
		began := time.Now()
		if err := errors.Join(send(io.MultiWriter(conn, h), 2, giB), conn.CloseWrite()); err != nil {
			t.Fatalf("%s: sending: %v", family.name, err)
		}
		got, err := io.ReadAll(conn)
		rate(t, "upload over "+family.name, giB, began)
		if want := h.Sum(nil); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: what the backend got has SHA-256 %x (%v), want %x", family.name, got, err, want)
		}
	}
}

// TestRate logs how fast one flow is when nobody looks at the bytes.
func TestRate(t *testing.T) {
	ns := newNamespace(t, "the rate of one flow")
	start(t, ns, settings{services: []string{
		`{name: discard, listen: ":9", discard: {}}`, `{name: chargen, listen: ":19", chargen: {}}`,
	}})
	for _, family := range families {
		down := ns.connect(t, address(family.host, 19))
		began := time.Now()
		if _, err := copyTo(io.Discard, io.LimitReader(down, giB)); err != nil {
			t.Errorf("download over %s: %v", family.name, err)
		}
		rate(t, "chargen over "+family.name, giB, began)
		down.Close()

		up := ns.connect(t, address(family.host, 9))
		began = time.Now()
		for piece, left := make([]byte, 256*kiB), int64(giB); left > 0; left -= int64(len(piece)) {
			if _, err := up.Write(piece); err != nil {
				t.Fatalf("upload over %s: %v", family.name, err)
			}
		}
		rate(t, "discard over "+family.name, giB, began)
		up.Close()
	}
}

// TestMTU transfers both ways over links of other sizes than Ethernet's.
func TestMTU(t *testing.T) {
	for _, mtu := range []int{576, 1280, 1500, 9000, 65535} {
		t.Run(fmt.Sprint(mtu), func(t *testing.T) {
			ns := newNamespace(t, fmt.Sprintf("transfers over a link with an MTU of %d", mtu))
			const size = 32 * miB
			start(t, ns, settings{mtu: mtu, services: sourceAndSink(t, ns, 3, size)})
			if tcp0, err := ns.device("tcp0"); err != nil || tcp0.MTU != mtu {
				t.Fatalf("tcp0 is %+v (%v), want an MTU of %d", tcp0, err, mtu)
			}
			bothWays(t, ns, 3, size, mtu >= minIPv6MTU)
		})
	}
}

// bothWays downloads from the source and uploads to the sink, over IPv4 and, when it is there, IPv6.
func bothWays(t *testing.T, ns *namespace, seed uint64, size int64, ipv6 bool) {
	t.Helper()
	for _, family := range families {
		if family.name == "IPv6" && !ipv6 {
			continue
		}
		began := time.Now()
		if err := ns.download(address(family.host, sourcePort), seed, size); err != nil {
			t.Errorf("download over %s: %v", family.name, err)
		}
		rate(t, "download over "+family.name, size, began)
		began = time.Now()
		if err := ns.upload(address(family.host, sinkPort), seed, size); err != nil {
			t.Errorf("upload over %s: %v", family.name, err)
		}
		rate(t, "upload over "+family.name, size, began)
	}
}

// TestOffloadOff: without the device's offload every packet is a single one with its own checksum.
func TestOffloadOff(t *testing.T) {
	ns := newNamespace(t, "transfers with offload: off")
	const size = 64 * miB
	start(t, ns, settings{tun: []string{"offload: off"}, services: sourceAndSink(t, ns, 4, size)})
	bothWays(t, ns, 4, size, true)
}

// TestBulkEcho fills both directions of the same connections at once. Stacks that move their window's right edge left, or
// ignore the ACK of a segment beyond a zero window, stand still here for ever.
func TestBulkEcho(t *testing.T) {
	ns := newNamespace(t, "bulk in both directions of one connection")
	start(t, ns, settings{services: []string{echoService}})
	const size = 64 * miB
	began := time.Now()
	failures := make(chan error, len(families))
	for i, family := range families {
		conn := ns.connect(t, address(family.host, 7))
		go func() {
			if err := echo(conn, uint64(i), size); err != nil {
				failures <- fmt.Errorf("%s: %w", family.name, err)
				return
			}
			failures <- nil
		}()
	}
	for range families {
		if err := next(t, failures, "the end of an echo"); err != nil {
			t.Error(err)
		}
	}
	rate(t, "echo over two connections, each way", int64(len(families))*size, began)
}

// TestPacketLoss drops 5% of what the daemon's device carries, each way, and still wants every byte. With offload a packet is
// up to 64 KiB, without it is a segment: bursts of loss and single losses.
func TestPacketLoss(t *testing.T) {
	t.Parallel()
	for _, family := range families {
		for _, offload := range []string{"auto", "off"} {
			t.Run(family.name+" with offload "+offload, func(t *testing.T) {
				t.Parallel()
				testPacketLoss(t, family.host, offload)
			})
		}
	}
}

func testPacketLoss(t *testing.T, host, offload string) {
	ns := newNamespace(t, "transfers with 5% packet loss")
	const size = 4 * miB
	start(t, ns, settings{tun: []string{"offload: " + offload}, services: append(sourceAndSink(t, ns, 5, size), echoService)})
	lose(t, ns, 5)
	began := time.Now()
	if err := ns.download(address(host, sourcePort), 5, size); err != nil {
		t.Errorf("download: %v", err)
	}
	rate(t, "download", size, began)
	began = time.Now()
	if err := ns.upload(address(host, sinkPort), 5, size); err != nil {
		t.Errorf("upload: %v", err)
	}
	rate(t, "upload", size, began)
	began = time.Now()
	if err := echo(ns.connect(t, address(host, 7)), 6, size/4); err != nil {
		t.Errorf("echo: %v", err)
	}
	rate(t, "echo", size/4, began)
	if filter := ns.run(t, "nft", "list", "ruleset"); strings.Contains(filter, "packets 0 ") {
		t.Errorf("the packet filter dropped nothing:\n%s", filter)
	}
}

// lose drops so many of a hundred packets between the kernel and the daemon, at random, in each direction.
func lose(t *testing.T, ns *namespace, percent int) {
	t.Helper()
	rules := fmt.Sprintf(`table inet loss {
	chain from_daemon { type filter hook input priority 0; iifname tcp0 numgen random mod 100 < %[1]d counter drop; }
	chain to_daemon { type filter hook output priority 0; oifname tcp0 numgen random mod 100 < %[1]d counter drop; }
}`, percent)
	ns.run(t, "nft", rules)
}

// TestMTUChanges: the device's MTU goes down and up while streams run. The kernel reports no error for it.
func TestMTUChanges(t *testing.T) {
	ns := newNamespace(t, "changes of the device's MTU under load")
	start(t, ns, settings{services: []string{echoService}})
	load := runLoad(t, ns, address("10.77.0.2", 7), address("fd77::2", 7))
	for _, mtu := range []string{"1280", "9000", "1500"} {
		ns.run(t, "ip", "link", "set", "tcp0", "mtu", mtu)
		load.progress(t)
	}
	load.stop(t)
	load = runLoad(t, ns, address("10.77.0.2", 7))
	ns.run(t, "ip", "link", "set", "tcp0", "mtu", "576")
	load.progress(t)
	load.stop(t)
}
