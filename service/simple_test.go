package service

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestEchoReturnsEverythingAndThenFIN(t *testing.T) {
	for _, address := range families {
		s, l := &Echo{}, listen(t, "tcp", address)
		start(t, s, l)
		conn := connect(t, l)
		sent, got := sha256.New(), sha256.New()
		go func() {
			_, _ = io.CopyN(io.MultiWriter(conn, sent), rand.NewChaCha8([32]byte{1}), 8<<20)
			_ = conn.CloseWrite()
		}()
		n, err := io.Copy(got, conn)
		if err != nil || n != 8<<20 || !bytes.Equal(got.Sum(nil), sent.Sum(nil)) {
			t.Fatalf("%s: echoed %d bytes, %v; want the 8 MiB that were sent, then EOF", address, n, err)
		}
		wantEnded(t, s, Finished)
	}
}

func TestEchoCountsAReset(t *testing.T) {
	s, l := &Echo{}, listen(t, "tcp", families[0])
	start(t, s, l)
	conn := connect(t, l)
	say(t, conn, "hi")
	wantText(t, conn, "hi")
	rst(t, conn)
	wantEnded(t, s, ClientReset)
}

func TestDiscardAnswersNothingAndThenFIN(t *testing.T) {
	for _, address := range families {
		s, l := &Discard{}, listen(t, "tcp", address)
		start(t, s, l)
		conn := connect(t, l)
		if _, err := io.CopyN(conn, rand.NewChaCha8([32]byte{2}), 4<<20); err != nil {
			t.Fatal(err)
		}
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		wantEOF(t, conn, "discard answers nothing")
		wantEnded(t, s, Finished)
	}
}

func TestDaytimeSendsALineAndFINWhateverItReceives(t *testing.T) {
	now := time.Date(1982, time.February, 22, 17, 37, 43, 0, time.FixedZone("PST", -8*3600))
	for _, address := range families {
		s, l := &Daytime{Now: func() time.Time { return now }}, listen(t, "tcp", address)
		start(t, s, l)
		conn := connect(t, l)
		say(t, conn, "what time is it?")
		got, err := io.ReadAll(conn)
		if want := "Monday, February 22, 1982 17:37:43-PST\r\n"; err != nil || string(got) != want {
			t.Fatalf("got %q, %v; want %q and EOF, not a RST for the question", got, err, want)
		}
		_ = conn.Close()
		wantEnded(t, s, Finished)
	}
}

// slowPattern is the pattern as RFC 864 describes it, a character at a time.
func slowPattern(n int) string {
	var b strings.Builder
	for line := 0; b.Len() < n; line++ {
		for i := range 72 {
			b.WriteByte(byte(32 + (line+i)%95))
		}
		b.WriteString("\r\n")
	}
	return b.String()[:n]
}

func TestChargenSendsThePatternWhateverItReceives(t *testing.T) {
	const length = 3*chargenWrite + 12345
	for _, address := range families {
		s, l := &Chargen{}, listen(t, "tcp", address)
		start(t, s, l)
		conn := connect(t, l)
		say(t, conn, "ignored")
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, length)
		if _, err := io.ReadFull(conn, got); err != nil {
			t.Fatalf("%v; the client's FIN must not end the stream", err)
		}
		if string(got) != slowPattern(length) {
			t.Fatal("the stream is not the pattern of RFC 864 without a gap")
		}
		_ = conn.Close()
		wantEnded(t, s, ClientReset)
	}
}

func TestChargenFirstLine(t *testing.T) {
	want := ` !"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_` + "`abcdefg\r\n" + `!"#$`
	if got := string(chargenPattern()[:len(want)]); got != want {
		t.Fatalf("got %q, want %q (RFC 864)", got, want)
	}
}

func TestReasonsHaveDistinctNames(t *testing.T) {
	seen := map[string]Reason{}
	for r := range Reason(NumReasons) {
		if other, dup := seen[r.String()]; dup || r.String() == "" {
			t.Errorf("reasons %d and %d are both called %q", r, other, r)
		}
		seen[r.String()] = r
	}
}

func TestFailuresAreClassified(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Reason
	}{
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, BackendReset},
		{syscall.EPIPE, BackendReset},
		{syscall.ETIMEDOUT, BackendTimeout},
		{syscall.EHOSTUNREACH, BackendUnreachable},
		{syscall.ENETUNREACH, BackendUnreachable},
		{errors.New("out of cheese"), BackendFailed},
	} {
		if got := backendFailures.of(c.err); got != c.want {
			t.Errorf("%v: got %v, want %v", c.err, got, c.want)
		}
	}
}
