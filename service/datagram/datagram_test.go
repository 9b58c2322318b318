package datagram

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strconv"
	"testing"
	"testing/iotest"
)

// chunks returns what it has piece by piece, as long as the next of sizes, which repeat.
type chunks struct {
	b     []byte
	sizes []byte
	i     int
	err   error // in the end, with the last piece; nil: io.EOF
}

func (c *chunks) Read(b []byte) (int, error) {
	n := len(c.b)
	if len(c.sizes) > 0 {
		n = int(c.sizes[c.i%len(c.sizes)])
		c.i++
	}
	n = copy(b, c.b[:min(n, len(c.b))])
	c.b = c.b[n:]
	switch {
	case len(c.b) > 0:
		return n, nil
	case c.err != nil:
		return n, c.err
	}
	return n, io.EOF
}

// slow is the format as its description has it, a byte at a time: the model that the reader is held against.
func slow(stream []byte) (frames [][]byte, err error) {
	for at := 0; at < len(stream); {
		if stream[at] != 0x72 {
			return frames, &MarkerError{Offset: int64(at), Found: stream[at], Frames: int64(len(frames))}
		}
		if len(stream) < at+3 {
			return frames, &TruncatedError{Offset: int64(at), Length: -1, Have: len(stream) - at, Frames: int64(len(frames))}
		}
		length := int(stream[at+1])*256 + int(stream[at+2])
		if len(stream) < at+3+length {
			return frames, &TruncatedError{Offset: int64(at), Length: length, Have: len(stream) - at, Frames: int64(len(frames))}
		}
		frames = append(frames, append([]byte{}, stream[at+3:at+3+length]...))
		at += 3 + length
	}
	return frames, io.EOF
}

// wantLikeModel reads a stream, cut by sizes, and compares with the model.
func wantLikeModel(t *testing.T, stream, sizes []byte) {
	t.Helper()
	frames, end := slow(stream)
	r := NewReader(&chunks{b: stream, sizes: sizes})
	for i, want := range frames {
		got, err := r.Next()
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("frame %d is %d bytes, %v; the model has %d bytes", i, len(got), err, len(want))
		}
	}
	for range 2 { // an error stays
		if b, err := r.Next(); b != nil || err == nil || err.Error() != end.Error() {
			t.Fatalf("the stream ends with %d bytes, %v; the model says %v", len(b), err, end)
		}
	}
	if r.Frames() != int64(len(frames)) {
		t.Fatalf("%d frames counted, %d read", r.Frames(), len(frames))
	}
}

// longStream has frames of every interesting length.
func longStream() []byte {
	var b []byte
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 2, 0, 0, 508, 509, 510, 511, 512, 513, 4096, MaxPayload - 1, MaxPayload, 3, 65000, 0} {
		payload := make([]byte, n)
		for i := range payload {
			payload[i] = byte(r.Uint32())
		}
		b = Append(b, payload)
	}
	return b
}

func TestReaderTakesAnyChunking(t *testing.T) {
	stream := longStream()
	for _, sizes := range [][]byte{{1}, {2}, {3}, {0, 1}, {255}, {7, 0, 0, 200}, nil} {
		wantLikeModel(t, stream, sizes)
	}
}

func TestReaderRefusesAtEveryOffset(t *testing.T) {
	stream := Append(Append(Append(nil, []byte("first")), nil), []byte("third"))
	for n := range stream {
		wantLikeModel(t, stream[:n], []byte{1})
		broken := bytes.Clone(stream)
		broken[n] ^= 0x55
		wantLikeModel(t, broken, []byte{2, 1})
	}
}

func TestRefusalsSayWhereAndWhy(t *testing.T) {
	for _, c := range []struct{ stream, want string }{
		{"r\x00\x02hiGET /", "datagram: at offset 5, after 1 whole frames, is byte 0x47 and not the marker 0x72 that begins a frame"},
		{"r\x00\x02hir\x01", "datagram: the stream ends at offset 7 within a frame's header: 2 of its 3 bytes have come, after 1 whole frames"},
		{"r\x01\x00abc", "datagram: the stream ends at offset 6 within a frame: 3 of 256 bytes of payload have come, after 0 whole frames"},
	} {
		r, err := NewReader(bytes.NewReader([]byte(c.stream))), error(nil)
		for err == nil {
			_, err = r.Next()
		}
		if err.Error() != c.want {
			t.Errorf("%q is refused with\n%v, want\n%s", c.stream, err, c.want)
		}
	}
}

func TestReaderReturnsTheErrorOfItsSource(t *testing.T) {
	broken := errors.New("broken")
	r := NewReader(&chunks{b: append(Append(nil, []byte("whole")), Marker, 0), err: broken})
	if b, err := r.Next(); string(b) != "whole" || err != nil {
		t.Fatalf("the frame before the error is %q, %v", b, err)
	}
	if _, err := r.Next(); err != broken {
		t.Errorf("got %v, want the source's error: a reset is no truncation", err)
	}
	if _, err := NewReader(iotest.ErrReader(broken)).Next(); err != broken {
		t.Errorf("got %v, want the source's error", err)
	}
	if _, err := NewReader(&chunks{b: []byte{1}, sizes: []byte{0}}).Next(); err != io.ErrNoProgress {
		t.Errorf("got %v from a source that never returns anything, want %v", err, io.ErrNoProgress)
	}
}

func TestWriterWritesEachFrameAtOnce(t *testing.T) {
	var writes [][]byte
	w := NewWriter(writerFunc(func(b []byte) (int, error) {
		writes = append(writes, bytes.Clone(b))
		return len(b), nil
	}))
	for _, s := range []string{"", "a", "hello"} {
		if n, err := w.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatalf("Write(%q) = %d, %v", s, n, err)
		}
	}
	if _, err := w.Write(make([]byte, MaxPayload+1)); err != ErrTooLong {
		t.Errorf("a payload too long gives %v", err)
	}
	want := []string{"r\x00\x00", "r\x00\x01a", "r\x00\x05hello"}
	if len(writes) != len(want) {
		t.Fatalf("%d writes, want %d: a refused payload writes nothing", len(writes), len(want))
	}
	for i := range want {
		if string(writes[i]) != want[i] {
			t.Errorf("write %d is %q, want %q", i, writes[i], want[i])
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// endless repeats a stream for ever.
type endless struct {
	b  []byte
	at int
}

func (e *endless) Read(b []byte) (int, error) {
	n := copy(b, e.b[e.at:])
	e.at = (e.at + n) % len(e.b)
	return n, nil
}

func TestNoAllocationPerFrame(t *testing.T) {
	r := NewReader(&endless{b: longStream()})
	w := NewWriter(io.Discard)
	pass := func() {
		for range 17 {
			b, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 3 {
		pass()
	}
	if n := testing.AllocsPerRun(50, pass); n != 0 {
		t.Errorf("17 frames allocate %v times", n)
	}
}

// TestReaderBelievesNoHeader: the buffer grows with what has come, not with what a header promises.
func TestReaderBelievesNoHeader(t *testing.T) {
	r := NewReader(bytes.NewReader([]byte{Marker, 0xff, 0xff, 'x'}))
	if _, err := r.Next(); err == nil || len(r.buf) != firstBuffer {
		t.Errorf("after 4 bytes: %v, a buffer of %d bytes", err, len(r.buf))
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("r\x00\x02hir\x00\x00r\x00\x01x"), []byte{1})
	f.Add([]byte("r\x00\x02hi!"), []byte{0, 2, 255})
	f.Add([]byte("r\x03\x00hi"), []byte{})
	f.Add(longStream()[:5000], []byte{200, 3})
	f.Fuzz(func(t *testing.T, stream, sizes []byte) {
		sizes = sizes[:min(len(sizes), 64)] // no hundred empty reads in a row
		if bytes.Count(sizes, []byte{0}) == len(sizes) {
			sizes = nil // a source that never returns anything has a test of its own
		}
		wantLikeModel(t, stream, sizes)
	})
}

func BenchmarkReader(b *testing.B) {
	for _, n := range []int{0, 64, 1400, 65535} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			r := NewReader(&endless{b: bytes.Repeat(Append(nil, make([]byte, n)), 16)})
			b.SetBytes(int64(n + HeaderLen))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Next(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
