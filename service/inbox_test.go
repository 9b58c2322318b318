package service

import (
	"bytes"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// fullConn fills what it is given, up to limit bytes.
type fullConn struct {
	net.Conn
	limit int
}

func (c *fullConn) Read(b []byte) (int, error)      { return min(len(b), c.limit), nil }
func (c *fullConn) SetReadDeadline(time.Time) error { return nil }

func TestInboxFollowsTheTraffic(t *testing.T) {
	conn := &fullConn{limit: 1 << 30}
	in := inbox{conn: conn}
	defer in.release()
	for i, want := range []int{512, 4 << 10, 32 << 10, 256 << 10, 256 << 10} {
		if b, _ := in.read(); len(b) != want {
			t.Fatalf("read %d of a stream took %d bytes, want %d", i, len(b), want)
		}
	}
	conn.limit = 10
	for range steps {
		if b, _ := in.read(); len(b) != 10 {
			t.Fatal("a short read must be handed on at once")
		}
	}
	if len(*in.buf) != smallest {
		t.Fatalf("after short reads the buffer has %d bytes, want %d", len(*in.buf), smallest)
	}
}

func TestInboxGivesALargeBufferBackWhenQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		in := inbox{conn: near}
		sent := bytes.Repeat([]byte("0123456789"), 30000)
		go func() {
			_, _ = far.Write(sent)
			time.Sleep(time.Hour)
			_, _ = far.Write([]byte("more"))
			_ = far.Close()
		}()
		var got []byte
		for len(got) < len(sent) {
			b, err := in.read()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, b...)
		}
		if len(*in.buf) < 32<<10 {
			t.Fatalf("a stream's buffer has %d bytes, want it to have grown", len(*in.buf))
		}
		go func() {
			time.Sleep(time.Minute)
			synctest.Wait()
			if in.step != 0 {
				t.Error("a quiet connection must hold the smallest buffer")
			}
		}()
		b, err := in.read()
		if string(b) != "more" || err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("after an hour read %q, %v; nothing may be lost", b, err)
		}
		if _, err = in.read(); err != io.EOF {
			t.Fatalf("got %v, want EOF", err)
		}
	})
}
