package world

import "encoding/binary"

// content writes the bytes of a stream from offset on into b. Every stream, named by its key, has content of its own, so
// that bytes of another place or another connection are recognised.
func content(key, offset uint64, b []byte) {
	var word [8]byte
	for len(b) > 0 {
		binary.LittleEndian.PutUint64(word[:], mix(key+offset/8*0x9e3779b97f4a7c15))
		if offset%8 == 0 && len(b) >= 8 {
			copy(b, word[:])
			b, offset = b[8:], offset+8
			continue
		}
		n := copy(b, word[offset%8:])
		b, offset = b[n:], offset+uint64(n)
	}
}

// mix is the finalizer of splitmix64.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
