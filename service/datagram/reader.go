package datagram

import (
	"encoding/binary"
	"io"
)

// firstBuffer is what a reader holds until a frame needs more. The buffer doubles with bytes that have come, never because a
// header says how many will.
const firstBuffer = 512

// maxEmptyReads is how often in a row a source may return neither bytes nor an error.
const maxEmptyReads = 100

// Reader takes frames from a stream, however it is cut into reads. It allocates only to grow its buffer, which ends at 128
// KiB. It is used by one goroutine at a time.
type Reader struct {
	src    io.Reader
	buf    []byte
	start  int // buf[start:end] is what has come and was not returned
	end    int
	offset int64 // of buf[start] in the stream
	frames int64 // returned
	err    error // what ended the stream
}

// NewReader returns a reader of the frames of src.
func NewReader(src io.Reader) *Reader { return &Reader{src: src} }

// Next returns the payload of the next frame, which is borrowed until the next call. The error is io.EOF when the stream
// ended between two frames, a *MarkerError or *TruncatedError when it is to be refused, else that of the source. Frames that
// came whole before an error are returned first; an error stays.
func (r *Reader) Next() ([]byte, error) {
	for {
		n, need, err := r.frame()
		if err != nil {
			return nil, err
		}
		if need == 0 {
			b := r.buf[r.start+HeaderLen : r.start+n : r.start+n]
			r.start += n
			r.offset += int64(n)
			r.frames++
			return b, nil
		}
		if r.err != nil {
			return nil, r.ended()
		}
		r.fill()
	}
}

// Frames returns how many frames were returned.
func (r *Reader) Frames() int64 { return r.frames }

// frame looks at what is there: the length of the frame, and how many bytes of it are still to come.
func (r *Reader) frame() (n, need int, err error) {
	b := r.buf[r.start:r.end]
	if len(b) > 0 && b[0] != Marker {
		return 0, 0, &MarkerError{Offset: r.offset, Found: b[0], Frames: r.frames}
	}
	if len(b) < HeaderLen {
		return HeaderLen, HeaderLen - len(b), nil
	}
	n = HeaderLen + int(binary.BigEndian.Uint16(b[1:]))
	return n, max(n-len(b), 0), nil
}

// ended turns the end of the source into that of the frames.
func (r *Reader) ended() error {
	b := r.buf[r.start:r.end]
	if r.err != io.EOF || len(b) == 0 {
		return r.err
	}
	e := &TruncatedError{Offset: r.offset, Length: -1, Have: len(b), Frames: r.frames}
	if len(b) >= HeaderLen {
		e.Length = int(binary.BigEndian.Uint16(b[1:]))
	}
	return e
}

// fill reads once from the source, or gives up on one that returns nothing.
func (r *Reader) fill() {
	r.makeRoom()
	for range maxEmptyReads {
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		r.err = err
		if n > 0 || err != nil {
			return
		}
	}
	r.err = io.ErrNoProgress
}

// makeRoom leaves at least a byte behind what has come. Bytes move only when the buffer's end is reached.
func (r *Reader) makeRoom() {
	switch {
	case r.start == r.end:
		r.start, r.end = 0, 0
		if r.buf == nil {
			r.buf = make([]byte, firstBuffer)
		}
	case r.end < len(r.buf):
	case r.start > 0:
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	default:
		r.buf = append(r.buf, make([]byte, len(r.buf))...)
	}
}
