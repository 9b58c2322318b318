package tcp

import (
	"testing"
	"unsafe"
)

// What a connection costs in each part of its life is a promise; an entry in the table of flows comes to each.
func TestSizes(t *testing.T) {
	entry := int(unsafe.Sizeof(wheelEntry{}))
	for _, x := range []struct {
		name      string
		size, max int
	}{
		{"a connection", connSize, 1024},
		{"a connection and its timer", connSize + entry, 1024},
		{"a half-open connection, its timer and its place among the flows", halfSize + entry + 2*int(unsafe.Sizeof(flowSlot{})), 128},
		{"TIME-WAIT and its timer", timeWaitSize, 64},
		{"what a connection under way has besides", busySize, 512},
	} {
		if x.size > x.max {
			t.Errorf("%s takes %d bytes, at most %d are granted", x.name, x.size, x.max)
		}
		t.Logf("%s: %d bytes", x.name, x.size)
	}
}
