//go:build race

package world

// raced: the race detector is on and makes everything ten times slower. There is one goroutine to a world and nothing to
// find but in Sweep, so a few seeds do.
const raced = true
