package e2e

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

const (
	kiB = 1 << 10
	miB = 1 << 20
	giB = 1 << 30
)

// families are the daemon's addresses, one of each family, ready for a port to follow.
var families = []struct{ name, host string }{
	{"IPv4", "10.77.0.2"},
	{"IPv6", "fd77::2"},
}

// content is a stream of pseudo-random bytes that the seed determines.
func content(seed uint64, size int64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return io.LimitReader(rand.NewChaCha8(key), size)
}

// send writes content to w.
func send(w io.Writer, seed uint64, size int64) error {
	_, err := copyTo(w, content(seed, size))
	return err
}

// check reads r to its end, which must be the content and nothing else. It is as strict as a digest and can tell what is wrong.
func check(r io.Reader, seed uint64, size int64) error {
	stream := content(seed, size)
	got, want := make([]byte, 256*kiB), make([]byte, 256*kiB)
	for at := int64(0); ; {
		n, err := r.Read(got)
		expected, _ := io.ReadFull(stream, want[:n])
		if !bytes.Equal(got[:n], want[:expected]) {
			return difference(got[:n], want[:expected], at, seed, size)
		}
		at += int64(n)
		switch {
		case err == io.EOF && at == size:
			return nil
		case err == io.EOF:
			return fmt.Errorf("the stream ended after %d of %d bytes", at, size)
		case err != nil:
			return fmt.Errorf("after %d of %d bytes: %w", at, size, err)
		}
	}
}

// difference describes the first wrong byte of what arrived at an offset, and where the bytes that are there belong.
func difference(got, want []byte, at int64, seed uint64, size int64) error {
	i := 0
	for i < len(want) && got[i] == want[i] {
		i++
	}
	wrong := fmt.Sprintf("the first wrong byte is number %d of %d, %d bytes into what a read returned", at+int64(i), size, i)
	sample := got[i:min(i+16, len(got))]
	whole, _ := io.ReadAll(content(seed, min(size, 256*miB)))
	if belongs := bytes.Index(whole, sample); belongs >= 0 {
		return fmt.Errorf("%s; what is there belongs to %d", wrong, belongs)
	}
	return fmt.Errorf("%s; what is there is not from the stream: % x", wrong, sample)
}

// copyTo is io.Copy with large pieces, in user space whatever w and r are.
func copyTo(w io.Writer, r io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, 256*kiB))
}

// counted is a connection that tells other goroutines how far it has come.
type counted struct {
	net.Conn
	read, written atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

// waitStill waits until the counter has not moved for a second: whoever moves it is blocked.
func waitStill(t *testing.T, what string, counter *atomic.Int64) {
	t.Helper()
	last, since := counter.Load(), time.Now()
	eventually(t, hung, what+" stops", func() bool {
		if now := counter.Load(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > time.Second
	})
}

// download reads what a source sends and checks that it is whole.
func (ns *namespace) download(address string, seed uint64, size int64) error {
	conn, err := ns.dial(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	return check(conn, seed, size)
}

// upload sends content to a sink and wants to hear that it arrived whole.
func (ns *namespace) upload(address string, seed uint64, size int64) error {
	conn, err := ns.dial(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := errors.Join(send(conn, seed, size), conn.CloseWrite()); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || string(answer) != whole {
		return fmt.Errorf("the sink says %q (%v)", answer, err)
	}
	return nil
}

// echo sends content and reads it back at the same time, then checks that it is whole and that the end comes back too.
func echo(conn *net.TCPConn, seed uint64, size int64) error {
	sent := make(chan error, 1)
	go func() {
		sent <- errors.Join(send(conn, seed, size), conn.CloseWrite())
	}()
	err := check(conn, seed, size)
	if err != nil {
		conn.Close()
	}
	return errors.Join(err, <-sent)
}

// rate logs how fast size bytes went.
func rate(t *testing.T, what string, size int64, since time.Time) {
	t.Helper()
	took := time.Since(since)
	t.Logf("%s: %d MiB in %v, %.2f Gbit/s", what, size/miB, took.Round(time.Millisecond), float64(size)*8/1e9/took.Seconds())
}

// address joins host and port.
func address(host string, port int) string {
	return net.JoinHostPort(host, fmt.Sprint(port))
}
