package main

import (
	"encoding/json"
	"os"
	"slices"
	"time"

	"tcpd/bench/internal/link"
)

// result is a cell with everything that was measured for it.
type result struct {
	Cell  cell           `json:"cell"`
	Name  string         `json:"name"`
	Sides map[string]*by `json:"by"` // contender
}

// by is what one contender did in a cell.
type by struct {
	Samples []sample    `json:"samples"`
	Links   []linkState `json:"links"` // one of each round
}

// linkState is what the links of a round did.
type linkState struct {
	Client         link.Counts   `json:"from_client"`
	Server         link.Counts   `json:"from_server"`
	Late99         time.Duration `json:"late_99_ns"`
	LateMax        time.Duration `json:"late_worst_ns"`
	DevicesDropped uint64        `json:"devices_dropped"` // should be 0: losses the emulator did not mean
	Others         float64       `json:"others"`          // processors that other processes used
	Idle           float64       `json:"idle"`            // processors that nobody used
}

// disturbed: the emulator was late, or there was too little processor left for either contender to be itself.
func (l *linkState) disturbed() bool {
	return l.Late99 > time.Millisecond || l.Others > 0.5 || l.Idle < 0.1
}

// disturbed: some round of the cell was, and there was no patience left to take it again.
func (r *result) disturbed() bool {
	for _, b := range r.Sides {
		if slices.ContainsFunc(b.Links, func(l linkState) bool { return l.disturbed() }) {
			return true
		}
	}
	return false
}

// median returns the median goodput in Mbit/s.
func (b *by) median() float64 {
	var v []float64
	for _, s := range b.Samples {
		v = append(v, s.Mbit)
	}
	return median(v)
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return (v[len(v)/2] + v[(len(v)-1)/2]) / 2
}

// ratio is tcpd's median to the kernel's.
func (r *result) ratio() float64 {
	if linux := r.Sides["linux"].median(); linux > 0 {
		return r.Sides["tcpd"].median() / linux
	}
	return 0
}

// file is what -json writes.
type file struct {
	Taken       time.Time `json:"taken"`
	Machine     string    `json:"machine"`
	Congestions []string  `json:"congestion"`
	Mbit        float64   `json:"mbit_per_second"`
	Seed        uint64    `json:"seed"`
	Links       int       `json:"links"` // that may be full at the same time
	Accuracy    accuracy  `json:"accuracy"`
	Results     []*result `json:"results"`
}

func (f *file) write(path string) error {
	b, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
