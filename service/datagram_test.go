package service

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tcpd/service/datagram"
)

// wantFrame checks the next frame.
func wantFrame(t *testing.T, r *datagram.Reader, want []byte) {
	t.Helper()
	if got, err := r.Next(); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("a frame of %d bytes, %v; want %d bytes", len(got), err, len(want))
	}
}

func TestDatagramEchoesFrames(t *testing.T) {
	for _, address := range families {
		s, l := &Datagram{}, listen(t, "tcp", address)
		start(t, s, l)
		conn := connect(t, l)
		sizes := []int{0, 1, 1400, datagram.MaxPayload, 0, 3}
		go func() {
			w := datagram.NewWriter(conn)
			for i, n := range sizes {
				_, _ = w.Write(bytes.Repeat([]byte{byte(i)}, n))
			}
			_ = conn.CloseWrite()
		}()
		r := datagram.NewReader(conn)
		for i, n := range sizes {
			wantFrame(t, r, bytes.Repeat([]byte{byte(i)}, n))
		}
		if _, err := r.Next(); err != io.EOF {
			t.Fatalf("after the last frame comes %v, want FIN", err)
		}
		wantEnded(t, s, Finished)
		if f := s.Snapshot().Frames; f.Received != 6 || f.Sent != 6 {
			t.Errorf("counted %+v, want 6 frames both ways", f)
		}
	}
}

func TestDatagramResetsWhatItRefuses(t *testing.T) {
	for stream, reason := range map[string]Reason{"r\x00\x01xGET": BadFrame, "r\x00\x05he": TruncatedFrame, "r": TruncatedFrame} {
		for _, to := range []string{"", "udp:127.0.0.1:9"} {
			said := make(chan string, 1)
			s := &Datagram{To: to, Log: func(_ Level, format string, _ ...any) { said <- format }}
			l := listen(t, "tcp", families[0])
			start(t, s, l)
			conn := connect(t, l)
			say(t, conn, stream)
			_ = conn.CloseWrite() // fails when the reset was faster
			for err := error(nil); err == nil; {
				if _, err = conn.Read(make([]byte, 100)); err == io.EOF {
					t.Errorf("%q to %q ends with FIN, want RST", stream, to)
				}
			}
			wantEnded(t, s, reason)
			if text := <-said; !strings.Contains(text, "refused") {
				t.Errorf("the log says %q", text)
			}
		}
	}
}

// backend is a UDP server that answers each datagram with what answer returns; nil is no answer.
func backend(t *testing.T, address string, answer func([]byte) [][]byte) string {
	t.Helper()
	udp, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = udp.Close() })
	go func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := udp.ReadFrom(b)
			if err != nil {
				return
			}
			for _, a := range answer(b[:n]) {
				_, _ = udp.WriteTo(a, from)
			}
		}
	}()
	return "udp:" + udp.LocalAddr().String()
}

func TestDatagramCarriesFramesToUDPAndBack(t *testing.T) {
	for _, address := range families {
		to := backend(t, address, func(b []byte) [][]byte { return [][]byte{append([]byte("re: "), b...)} })
		s, l := &Datagram{To: to, AnswerWait: 200 * time.Millisecond}, listen(t, "tcp", address)
		start(t, s, l)
		conn := connect(t, l)
		r, w := datagram.NewReader(conn), datagram.NewWriter(conn)
		for _, n := range []int{0, 12, 60000} {
			if _, err := w.Write(make([]byte, n)); err != nil {
				t.Fatal(err)
			}
			wantFrame(t, r, append([]byte("re: "), make([]byte, n)...))
		}
		// An answer after FIN still comes; then comes the end.
		if _, err := w.Write([]byte("last")); err != nil {
			t.Fatal(err)
		}
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		wantFrame(t, r, []byte("re: last"))
		if _, err := r.Next(); err != io.EOF {
			t.Fatalf("after the last answer comes %v, want FIN", err)
		}
		wantEnded(t, s, Finished)
	}
}

// TestDatagramCountsWhatItDrops: too big both ways, and a backend that is not there. Each is one datagram lost, none the stream.
func TestDatagramCountsWhatItDrops(t *testing.T) {
	to := backend(t, families[0], func(b []byte) [][]byte { return [][]byte{make([]byte, 1001), make([]byte, 1000)} })
	s, l := &Datagram{To: to, MaxAnswer: 1000}, listen(t, "tcp", families[0])
	start(t, s, l)
	conn := connect(t, l)
	r, w := datagram.NewReader(conn), datagram.NewWriter(conn)
	for _, n := range []int{datagram.MaxPayload, 1} {
		if _, err := w.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	wantFrame(t, r, make([]byte, 1000))
	f := s.Snapshot().Frames
	for end := time.Now().Add(patience); f.Sent == 0 && time.Now().Before(end); f = s.Snapshot().Frames {
		time.Sleep(time.Millisecond) // a frame is counted when it was written, and may be here before
	}
	if f.Received != 2 || f.Sent != 1 || f.Dropped[FrameTooBig] != 1 || f.Dropped[AnswerTooBig] != 1 {
		t.Errorf("counted %+v, want one frame and one answer too big", f)
	}

	gone := &Datagram{To: "udp:" + unused(t), IdleTimeout: time.Hour}
	l = listen(t, "tcp", families[0])
	start(t, gone, l)
	conn = connect(t, l)
	w = datagram.NewWriter(conn)
	for end := time.Now().Add(patience); gone.Snapshot().Frames.Dropped[PortClosed] < 2; {
		if _, err := w.Write([]byte("anybody?")); err != nil || time.Now().After(end) {
			t.Fatalf("%v, counted %+v: a closed port is counted and does not end the stream", err, gone.Snapshot().Frames)
		}
	}
}

// unused returns an address of UDP that nobody has.
func unused(t *testing.T) string {
	t.Helper()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = udp.Close() }()
	return udp.LocalAddr().String()
}

func TestDatagramRefusesWithoutBackend(t *testing.T) {
	s := &Datagram{To: "udp:127.0.0.1:53", Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, os.ErrDeadlineExceeded
	}}
	l := listen(t, "tcp", families[0])
	start(t, s, l)
	if conn, err := net.Dial("tcp", l.Addr().String()); err == nil { // else the reset was faster
		wantReset(t, watched(t, conn), "there is no backend")
	}
	wantEnded(t, s, DialTimeout)
	if err := (&Datagram{To: "udp:53"}).Serve(t.Context(), listen(t, "tcp", families[0])); err == nil {
		t.Error("an address without a host is served")
	}
}

// TestDatagramIdleTimeout runs in virtual time: what is said puts the end off, silence resets.
func TestDatagramIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, far := newLinePipe()
		socket, peer := net.Pipe()
		d := &Datagram{To: "udp:backend:1", IdleTimeout: time.Minute, Dial: func(context.Context, string, string) (net.Conn, error) {
			return socket, nil
		}}
		begin := time.Now()
		go d.accepted(far)
		go func() { _, _ = io.Copy(io.Discard, peer) }()
		time.Sleep(50 * time.Second)
		_, _ = datagram.NewWriter(client).Write([]byte("a frame"))
		time.Sleep(50 * time.Second)
		_, _ = peer.Write([]byte("an answer"))
		wantFrame(t, datagram.NewReader(client), []byte("an answer"))
		if _, err := client.Read(make([]byte, 1)); err == nil {
			t.Error("the stream goes on, want its end")
		}
		synctest.Wait()
		if took := time.Since(begin); took != 160*time.Second || !far.aborted.Load() {
			t.Errorf("ended after %v, reset %v; want a reset after 160 s", took, far.aborted.Load())
		}
		wantEnded(t, d, IdleTimeout)
	})
}

// TestDatagramClientStandsStill: a client that has sent FIN and reads nothing does not hold the connection for ever, whether an answer
// comes after the FIN or was being written when it came.
func TestDatagramClientStandsStill(t *testing.T) {
	for _, before := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			client, far := newLinePipe()
			socket, peer := net.Pipe()
			d := &Datagram{To: "udp:backend:1", IdleTimeout: time.Minute, Dial: func(context.Context, string, string) (net.Conn, error) {
				return socket, nil
			}}
			go d.accepted(far)
			steps := []func(){func() { _ = client.CloseWrite() }, func() { _, _ = peer.Write([]byte("an answer")) }}
			if before {
				slices.Reverse(steps)
			}
			for _, step := range steps {
				step()
				synctest.Wait()
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			if n := d.Snapshot(); n.Active != 0 || n.Ended[ClientTimeout] != 1 || n.Frames.Dropped[AnswerUnsent] != 1 {
				t.Errorf("an answer before the FIN %v: after an hour counted %+v, want the client timed out", before, n)
			}
			_ = client.Close()
		})
	}
}
