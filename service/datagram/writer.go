package datagram

import (
	"encoding/binary"
	"io"
)

// Writer puts frames onto a stream. It allocates only to grow its buffer. It is used by one goroutine at a time.
type Writer struct {
	dst io.Writer
	buf []byte
}

// NewWriter returns a writer of frames to dst.
func NewWriter(dst io.Writer) *Writer { return &Writer{dst: dst} }

// Write sends b as one frame, with one write to the stream: a frame is never torn by another goroutine's, and small ones
// leave in one segment. It returns len(b); after any error but ErrTooLong the stream may end within the frame.
func (w *Writer) Write(b []byte) (int, error) {
	if len(b) > MaxPayload {
		return 0, ErrTooLong
	}
	w.buf = Append(w.buf[:0], b)
	if _, err := w.dst.Write(w.buf); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Append appends b as a frame to dst. b has at most MaxPayload bytes.
func Append(dst, b []byte) []byte {
	dst = append(dst, make([]byte, HeaderLen)...)
	PutHeader(dst[len(dst)-HeaderLen:], len(b))
	return append(dst, b...)
}

// PutHeader writes the header of a frame with length bytes of payload, at most MaxPayload, to the first HeaderLen bytes of b.
func PutHeader(b []byte, length int) {
	b[0] = Marker
	binary.BigEndian.PutUint16(b[1:HeaderLen], uint16(length))
}
