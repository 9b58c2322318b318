package main

import (
	"math"
	"slices"
)

// timeScale maps times to heights: linear, with the same scale everywhere, but for long pauses, which are cut.
type timeScale struct {
	pieces []timePiece
	factor float64 // pixels for a millisecond
}

// timePiece is a time without a long pause, and the height where it begins.
type timePiece struct{ from, to, y float64 }

// newTimeScale makes a scale on which the times, in milliseconds, take about so much height.
func newTimeScale(times []float64, height float64) timeScale {
	slices.Sort(times)
	long := longPause(times)
	pieces := []timePiece{{from: times[0]}}
	active := 0.0
	for i := 1; i < len(times); i++ {
		if gap := times[i] - times[i-1]; gap > long {
			pieces[len(pieces)-1].to = times[i-1]
			pieces = append(pieces, timePiece{from: times[i]})
		} else {
			active += gap
		}
	}
	pieces[len(pieces)-1].to = times[len(times)-1]
	s := timeScale{pieces: pieces, factor: height / max(active, 1e-3)}
	y := float64(svgTop)
	for i := range pieces {
		pieces[i].y = y
		y += (pieces[i].to-pieces[i].from)*s.factor + svgBreak
	}
	return s
}

// longPause returns the gap beyond which nothing happened for long: several times what is usual, so that at most a handful
// of pauses are cut and the rest is not squeezed together by them.
func longPause(times []float64) float64 {
	var gaps []float64
	all := 0.0
	for i := 1; i < len(times); i++ {
		if gap := times[i] - times[i-1]; gap > 0 {
			gaps = append(gaps, gap)
			all += gap
		}
	}
	if len(gaps) == 0 {
		return math.Inf(1)
	}
	slices.Sort(gaps)
	return max(8*gaps[len(gaps)/2], 0.05*(all-total(gaps[len(gaps)*9/10:])))
}

func total(list []float64) float64 {
	n := 0.0
	for _, x := range list {
		n += x
	}
	return n
}

// y returns the height of a time, which is one of those the scale was made of or lies in a piece.
func (s *timeScale) y(t float64) float64 {
	i := len(s.pieces) - 1
	for i > 0 && t < s.pieces[i].from {
		i--
	}
	return s.pieces[i].y + (t-s.pieces[i].from)*s.factor
}

// tick returns a round number of milliseconds that takes some 20 pixels or more.
func (s *timeScale) tick() float64 {
	step := math.Pow(10, math.Floor(math.Log10(20/s.factor)))
	for _, m := range []float64{1, 2, 5} {
		if m*step*s.factor >= 20 {
			return m * step
		}
	}
	return 10 * step
}
