package tun

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpd/ip"
)

func TestReadDeliversSuperPacketsWhole(t *testing.T) {
	f := newFake(t, 1, true)
	packet := plain(4, ip.ProtocolTCP, 60000)
	f.give(0, append(virtio{needsChecksum, gsoTCP4, 52, 1448, 20, 16}.bytes(), packet...))
	deliver, got := keep()
	if err := f.Read(0, 16, deliver); err != nil {
		t.Fatal(err)
	}
	if len(*got) != 1 || !bytes.Equal((*got)[0].packet, packet) {
		t.Fatalf("%d packets were delivered, want the one of %d bytes", len(*got), len(packet))
	}
	if want := (ip.Offload{Checksum: ip.ChecksumPartial, SegmentSize: 1448}); (*got)[0].offload != want {
		t.Errorf("offload is %+v, want %+v", (*got)[0].offload, want)
	}
	if s := f.Stats(); s.Read != (Traffic{Packets: 1, Bytes: 60000, Super: 1}) {
		t.Errorf("counted %+v", s.Read)
	}
}

func TestReadStopsAtMaxAndPollGoesOn(t *testing.T) {
	f := newFake(t, 1, false)
	for i := range 10 {
		f.give(0, plain(4, ip.ProtocolTCP, 40+i))
	}
	deliver, got := keep()
	if err := f.Read(0, 4, deliver); err != nil || len(*got) != 4 {
		t.Fatalf("Read of at most 4 delivered %d (%v)", len(*got), err)
	}
	if n, err := f.Poll(0, 5, deliver); n != 5 || err != nil {
		t.Fatalf("Poll of at most 5 delivered %d (%v)", n, err)
	}
	if n, err := f.Poll(0, 5, deliver); n != 1 || err != nil {
		t.Fatalf("Poll delivered %d (%v), want the last one", n, err)
	}
	if n, err := f.Poll(0, 5, deliver); n != 0 || err != nil {
		t.Fatalf("Poll of an empty queue delivered %d (%v)", n, err)
	}
	for i, r := range *got {
		if len(r.packet) != 40+i {
			t.Errorf("packet %d has %d bytes: out of order", i, len(r.packet))
		}
	}
}

func TestMalformedFramesAreCountedAndOthersPass(t *testing.T) {
	f := newFake(t, 1, true)
	f.give(0, []byte{1, 2, 3})
	f.give(0, virtio{}.bytes())
	f.give(0, append(virtio{flags: 0x40}.bytes(), plain(4, ip.ProtocolTCP, 40)...))
	f.give(0, append(virtio{}.bytes(), plain(6, ip.ProtocolTCP, 60)...))
	deliver, got := keep()
	for len(*got) == 0 { // Read returns after max frames even if none was good enough
		if err := f.Read(0, 2, deliver); err != nil {
			t.Fatal(err)
		}
	}
	if len((*got)[0].packet) != 60 {
		t.Errorf("delivered %d bytes, want 60", len((*got)[0].packet))
	}
	s := f.Stats()
	for _, d := range []HeaderDrop{HeaderShort, HeaderEmpty, HeaderFlags} {
		if s.HeaderDrops[d] != 1 {
			t.Errorf("%v counted %d times, want once", d, s.HeaderDrops[d])
		}
	}
}

func TestWriteGathersOneFrame(t *testing.T) {
	for _, version := range []int{4, 6} {
		f := newFake(t, 1, true)
		p := outgoing(version, 1448, 14480)
		if err := f.Write(0, p); err != nil {
			t.Fatal(err)
		}
		packet, o, drop := parseHeader(f.take(0))
		if drop != HeaderOK || o != p.Offload || !bytes.Equal(packet, flatten(p)) {
			t.Errorf("IPv%d: wrote %d bytes with %+v (%v), want %d with %+v", version, len(packet), o, drop, p.Len(), p.Offload)
		}
		f.silent(0)
		if s := f.Stats(); s.Written != (Traffic{1, uint64(p.Len()), 1}) {
			t.Errorf("counted %+v", s.Written)
		}
	}
}

func TestWriteWithoutHeaderCutsAndCompletes(t *testing.T) {
	for _, version := range []int{4, 6} {
		f := newFake(t, 1, false)
		p := outgoing(version, 1000, 2500)
		if err := f.Write(0, p); err != nil {
			t.Fatal(err)
		}
		wantSegments(t, f, p, 0)
		if s := f.Stats(); s.Segmented != 1 || s.Written.Packets != 3 || s.Written.Super != 0 {
			t.Errorf("IPv%d: counted %d cut, %+v written", version, s.Segmented, s.Written)
		}
	}
}

// wantSegments takes the packets that p stands for, and checks their bytes and checksums.
func wantSegments(t *testing.T, f *fakeDevice, p *ip.Outgoing, header int) {
	t.Helper()
	var data []byte
	for total := p.Len() - len(p.Header); len(data) < total; {
		frame := f.take(0)
		if header > 0 && !bytes.Equal(frame[:header], make([]byte, header)) {
			t.Fatalf("a complete packet has the virtio header %x", frame[:header])
		}
		packet := frame[header:]
		if len(packet) > len(p.Header)+int(p.Offload.SegmentSize) {
			t.Fatalf("a packet of %d bytes is larger than a segment", len(packet))
		}
		var parsed ip.Packet
		if drop := parsed.Parse(packet, ip.Offload{}); drop != ip.DropNone {
			t.Fatalf("a packet we wrote is refused: %v", drop)
		}
		if !parsed.TransportChecksumOK() {
			t.Fatal("a packet we wrote has a wrong TCP checksum")
		}
		data = append(data, parsed.Payload[tcpHeaderMin:]...)
	}
	if !bytes.Equal(data, bytes.Join(p.Payload, nil)) {
		t.Error("the segments do not carry the data of the super-packet")
	}
	f.silent(0)
}

func TestWriteFallsBackWhenSuperPacketsAreRefused(t *testing.T) {
	f := newFake(t, 1, true)
	f.failWrites(func(frame []byte) syscall.Errno {
		if frame[1] != 0 {
			return unix.EINVAL
		}
		return 0
	})
	for range 3 {
		p := outgoing(4, 1000, 4500)
		if err := f.Write(0, p); err != nil {
			t.Fatal(err)
		}
		wantSegments(t, f, p, headerLen)
	}
	s := f.Stats()
	if s.Fallbacks != 1 || s.GSO || s.Segmented != 3 || s.WriteDrops != [NumWriteDrops]uint64{} {
		t.Errorf("after a refusal: %d fallbacks, GSO %v, %d cut, dropped %v; want 1, false, 3 and none", s.Fallbacks, s.GSO, s.Segmented, s.WriteDrops)
	}
	if len(f.logged) != 1 {
		t.Errorf("the operator was told %d times, want once: %q", len(f.logged), f.logged)
	}
}

func TestOneRefusedPacketDoesNotEndOffload(t *testing.T) {
	f := newFake(t, 1, true)
	poison := outgoing(6, 1000, 3333)
	f.failWrites(func(frame []byte) syscall.Errno {
		if len(frame) == headerLen+poison.Len() {
			return unix.EINVAL
		}
		return 0
	})
	if err := f.Write(0, poison); err != nil {
		t.Fatal(err)
	}
	f.take(0) // the probe, which a real kernel drops
	wantSegments(t, f, poison, headerLen)
	p := outgoing(6, 1000, 4000)
	f.Write(0, p)
	if frame := f.take(0); len(frame) != headerLen+p.Len() {
		t.Errorf("the next super-packet was written as %d bytes, want it whole", len(frame))
	}
	if s := f.Stats(); s.Fallbacks != 0 || !s.GSO {
		t.Errorf("one bad packet ended offload: %+v", s)
	}
}

func TestWriteCompletesAChecksumThatIsRefused(t *testing.T) {
	f := newFake(t, 1, true)
	f.failWrites(func(frame []byte) syscall.Errno {
		if frame[0] != 0 {
			return unix.EINVAL
		}
		return 0
	})
	p := outgoing(4, 1448, 100)
	if err := f.Write(0, p); err != nil {
		t.Fatal(err)
	}
	wantSegments(t, f, p, headerLen)
}

func TestWriteErrorsAreCountedByReason(t *testing.T) {
	f := newFake(t, 1, true)
	var e syscall.Errno
	f.failWrites(func([]byte) syscall.Errno { return e })
	p := outgoing(4, 1448, 2000)
	p.Offload = ip.Offload{}
	for _, tt := range []struct {
		errno syscall.Errno
		want  WriteDrop
	}{{unix.EIO, WriteLinkDown}, {unix.EBADFD, WriteGone}, {unix.EINVAL, WriteRefused}, {unix.EAGAIN, WriteNoBuffer},
		{unix.ENOMEM, WriteNoBuffer}, {unix.EPERM, WriteOther}} {
		before := f.Stats().WriteDrops[tt.want]
		e = tt.errno
		if err := f.Write(0, p); err != nil {
			t.Errorf("%v came back from Write as %v; a lost packet is no error", tt.errno, err)
		}
		if n := f.Stats().WriteDrops[tt.want] - before; n != 1 {
			t.Errorf("%v counted %d times as %v", tt.errno, n, tt.want)
		}
	}
}

func TestWriteRefusesWhatMakesNoSense(t *testing.T) {
	f := newFake(t, 1, true)
	long := outgoing(6, 1448, 260000)
	long.Payload = append(long.Payload, make([]byte, 6000))
	single := outgoing(6, 65535, 60000)
	single.Payload = append(single.Payload, make([]byte, 5535))
	pieces := outgoing(4, 1448, 1)
	for range maxPieces {
		pieces.Payload = append(pieces.Payload, []byte{1})
	}
	short := outgoing(4, 1448, 3000)
	short.Header = short.Header[:30]
	for _, tt := range []struct {
		p    *ip.Outgoing
		want WriteDrop
	}{{long, WriteTooLong}, {single, WriteTooLong}, {pieces, WritePieces}, {short, WriteMalformed}, {&ip.Outgoing{}, WriteMalformed}} {
		if err := f.Write(0, tt.p); err != nil {
			t.Error(err)
		}
		if n := f.Stats().WriteDrops[tt.want]; n == 0 {
			t.Errorf("not counted as %v", tt.want)
		}
	}
	f.silent(0)
}

func TestConcurrentWritesStayWhole(t *testing.T) {
	f := newFake(t, 1, true)
	var mu sync.Mutex
	sizes := map[int]int{}
	f.failWrites(func(frame []byte) syscall.Errno {
		packet, _, drop := parseHeader(frame)
		mu.Lock()
		defer mu.Unlock()
		if drop == HeaderOK && bytes.Equal(packet, flatten(outgoing(4, 1448, len(packet)-40))) {
			sizes[len(packet)]++
		}
		return unix.EIO
	})
	const writers, each = 4, 50
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			p := outgoing(4, 1448, 3000+w)
			for range each {
				f.Write(0, p)
			}
		})
	}
	wg.Wait()
	for w := range writers {
		if n := sizes[3040+w]; n != each {
			t.Errorf("writer %d: %d of %d frames left in one piece", w, n, each)
		}
	}
}

func TestCloseWakesReadersAndStopsWriters(t *testing.T) {
	f := newFake(t, 2, true)
	errs := make(chan error)
	for i := range 2 {
		go func() { errs <- f.Read(i, 8, func([]byte, ip.Offload) {}) }()
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-errs; !errors.Is(err, os.ErrClosed) {
			t.Errorf("Read ended with %v, want os.ErrClosed", err)
		}
	}
	if err := f.Write(0, outgoing(4, 1448, 10)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write after Close: %v, want os.ErrClosed", err)
	}
	if _, err := f.Poll(0, 8, func([]byte, ip.Offload) {}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Poll after Close: %v, want os.ErrClosed", err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
}

// A reader inside deliver may wait for what whoever calls Close holds.
func TestCloseDoesNotWaitForDeliver(t *testing.T) {
	f := newFake(t, 1, false)
	f.give(0, plain(4, ip.ProtocolTCP, 40))
	inside, release, ended := make(chan bool), make(chan bool), make(chan error)
	go func() {
		ended <- f.Read(0, 8, func([]byte, ip.Offload) {
			inside <- true
			<-release
		})
	}()
	<-inside
	f.Close()
	close(release)
	<-ended
}

func TestDeletedDeviceIsAttachedAgain(t *testing.T) {
	f := newFake(t, 2, true)
	f.breakDevice()
	got := make(chan int)
	for i := range 2 {
		go func() {
			f.Read(i, 8, func(p []byte, _ ip.Offload) { got <- len(p) })
			got <- -1
		}()
	}
	for i := range 2 {
		f.awaitGeneration(1)
		f.give(i, append(virtio{}.bytes(), plain(4, ip.ProtocolTCP, 50+i)...))
		if n := <-got; n != 50+i {
			t.Fatalf("after re-attaching queue %d delivered %d", i, n)
		}
		<-got
	}
	if f.MTU() != 1501 || f.Stats().Reattached != 1 {
		t.Errorf("MTU %d, re-attached %d times, want the new 1501 and once", f.MTU(), f.Stats().Reattached)
	}
	f.Write(1, outgoing(4, 1448, 10))
	f.take(1)
}

func TestDeviceThatStaysAwayEndsTheReaders(t *testing.T) {
	f := newFake(t, 1, true)
	f.mu.Lock()
	f.refuse = errors.New("no such device any more")
	f.mu.Unlock()
	f.cfg.ReattachFor = 300 * time.Millisecond // many times what the attempts take, also on a machine that is busy
	f.breakDevice()
	err := f.Read(0, 8, func([]byte, ip.Offload) {})
	if err == nil || !strings.Contains(err.Error(), "no such device any more") || !strings.Contains(err.Error(), "300ms") {
		t.Errorf("Read ended with %v, want the reason and the time", err)
	}
	if w := f.Write(0, outgoing(4, 1448, 10)); w == nil || w.Error() != err.Error() {
		t.Errorf("Write ended with %v, want what Read says", w)
	}
	if f.attempt < 3 {
		t.Errorf("tried %d times only", f.attempt)
	}
}

func TestCloseDuringReattachment(t *testing.T) {
	f := newFake(t, 1, true)
	f.mu.Lock()
	f.refuse = errors.New("not yet")
	f.mu.Unlock()
	f.retry = backoff{time.Hour, time.Hour}
	f.cfg.ReattachFor = 10 * time.Hour
	f.breakDevice()
	ended := make(chan error)
	go func() { ended <- f.Read(0, 8, func([]byte, ip.Offload) {}) }()
	f.Close()
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read ended with %v, want os.ErrClosed", err)
	}
}

func TestPacketPathDoesNotAllocate(t *testing.T) {
	f := newFake(t, 1, true)
	frame := append(virtio{needsChecksum, gsoTCP4, 52, 1448, 20, 16}.bytes(), plain(4, ip.ProtocolTCP, 20000)...)
	deliver := func([]byte, ip.Offload) {}
	scratch := make([]byte, bufferSize)
	peer, err := f.end(0).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	give := func(fd uintptr) { unix.Write(int(fd), frame) }
	take := func(fd uintptr) { unix.Read(int(fd), scratch) }
	check := func(what string, op func()) {
		if n := testing.AllocsPerRun(200, op); n != 0 {
			t.Errorf("%s allocates %v times", what, n)
		}
	}
	check("Read", func() { peer.Control(give); f.Read(0, 8, deliver) })
	check("Poll", func() { peer.Control(give); f.Poll(0, 8, deliver) })
	p := outgoing(4, 1448, 14480)
	check("Write", func() { f.Write(0, p); peer.Control(take) })
	f.at.gso.Store(false)
	f.Write(0, p)
	check("Write cut in software", func() {
		f.Write(0, p)
		for range 10 {
			peer.Control(take)
		}
	})
}
