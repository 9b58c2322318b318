// Package datagram carries datagrams over a stream. A frame is
//
//	0x72 | length, two bytes, big endian | payload, length bytes
//
// The payload has 0 to 65535 bytes; an empty frame is legal. A stream ends in order between two frames, nowhere else.
package datagram

import (
	"errors"
	"fmt"
)

// The wire format.
const (
	Marker     = 0x72
	HeaderLen  = 3
	MaxPayload = 1<<16 - 1
)

// ErrTooLong is what Writer.Write returns for a payload that no frame can carry. The stream is as it was before.
var ErrTooLong = errors.New("datagram: the payload is longer than 65535 bytes, cut it before it is sent")

// MarkerError refuses a stream that is not one of frames. Nothing after Offset can be told apart any more.
type MarkerError struct {
	Offset int64 // of the byte, from the beginning of the stream
	Found  byte
	Frames int64 // whole frames before it
}

func (e *MarkerError) Error() string {
	return fmt.Sprintf("datagram: at offset %d, after %d whole frames, is byte 0x%02x and not the marker 0x%02x that begins a frame",
		e.Offset, e.Frames, e.Found, byte(Marker))
}

// TruncatedError says that a stream ended within a frame.
type TruncatedError struct {
	Offset int64 // where the frame begins
	Length int   // of its payload; -1: the stream ended within the header
	Have   int   // bytes of the frame that came, header included
	Frames int64 // whole frames before it
}

func (e *TruncatedError) Error() string {
	if e.Length < 0 {
		return fmt.Sprintf("datagram: the stream ends at offset %d within a frame's header: %d of its %d bytes have come, after %d whole frames",
			e.Offset+int64(e.Have), e.Have, HeaderLen, e.Frames)
	}
	return fmt.Sprintf("datagram: the stream ends at offset %d within a frame: %d of %d bytes of payload have come, after %d whole frames",
		e.Offset+int64(e.Have), e.Have-HeaderLen, e.Length, e.Frames)
}
