package tcp

import "testing"

// What a connection costs in each part of its life is a promise.
func TestSizes(t *testing.T) {
	for _, x := range []struct {
		name      string
		size, max int
	}{
		{"a connection, its timer and its place among the flows", connSize, 1024},
		{"a half-open connection, its timer and its place among the flows", halfSize, 128},
		{"TIME-WAIT and its timer", timeWaitSize - placeSize, 64},
		{"what a connection under way has besides", busySize, 512},
	} {
		if x.size > x.max {
			t.Errorf("%s takes %d bytes, at most %d are granted", x.name, x.size, x.max)
		}
		t.Logf("%s: %d bytes", x.name, x.size)
	}
}
