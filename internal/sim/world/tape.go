package world

import (
	"encoding/binary"
	"sync"
)

// The streams of all connections are cut from one endless random tape, each from a place of its own on, so that bytes of
// another place or another connection are recognised, and writing and comparing cost no more than the copy. The tape repeats
// itself after tapeLen bytes, a prime number that nothing in TCP is likely to be wrong by.
const (
	tapeLen = 1<<20 - 3
	maxCall = 128 << 10 // the longest piece anybody asks for
)

var tape = sync.OnceValue(func() []byte {
	b := make([]byte, tapeLen+maxCall+8)
	for i := 0; i < tapeLen; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], mix(uint64(i)+1))
	}
	copy(b[tapeLen:], b[:maxCall])
	return b
})

// content returns n bytes, at most maxCall, of the stream named by key, from offset on. They are not to be changed.
func content(key uint64, offset, n int) []byte {
	at := (key%tapeLen + uint64(offset)%tapeLen) % tapeLen
	return tape()[at : at+uint64(n)]
}

// mix is the finalizer of splitmix64.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
