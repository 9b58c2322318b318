package main

import (
	"strings"
	"testing"
	"time"
)

func TestGrids(t *testing.T) {
	var full, quick []cell
	for _, congestion := range []string{"cubic", "bbr"} {
		full, quick = append(full, fullGrid(congestion)...), append(quick, quickGrid(congestion)...)
	}
	if len(full) != 160 {
		t.Errorf("the grid has %d cells, want 160: 4 round trips x 4 losses x 2 queues and 8 with reordering, both ways, twice", len(full))
	}
	names := map[string]bool{}
	for _, c := range full {
		names[c.String()] = true
	}
	if len(names) != len(full) {
		t.Errorf("the cells have only %d different names", len(names))
	}
	for _, c := range quick {
		if !names[c.String()] {
			t.Errorf("%v is in the quick grid only", c)
		}
	}
	if d := took(full, 2); d > 35*time.Minute {
		t.Errorf("the grid samples for %v, which leaves no time of 40 minutes for the rest", d)
	}
	if d := took(quick, 2); d > 4*time.Minute {
		t.Errorf("the quick grid samples for %v, which leaves no time of 5 minutes for the rest", d)
	}
}

// took is how long the samples last, of two contenders.
func took(cells []cell, rounds int) (d time.Duration) {
	for _, b := range batches(cells, fullLinks) {
		d += b[0].lasts() * time.Duration(2*rounds)
	}
	return d
}

func TestBatches(t *testing.T) {
	cells := append(fullGrid("cubic"), fullGrid("bbr")...)
	in := map[cell]int{}
	for _, b := range batches(cells, fullLinks) {
		load := 0
		for _, c := range b {
			in[c]++
			load += c.load()
			if c.lasts() != b[0].lasts() {
				t.Errorf("%v and %v are in a batch, but do not take equally long", b[0], c)
			}
		}
		if load > fullLinks && len(b) > 1 {
			t.Errorf("%v fills %d links, want at most %d", b, load, fullLinks)
		}
	}
	for _, c := range cells {
		if in[c] != 1 {
			t.Errorf("%v is in %d batches", c, in[c])
		}
	}
	if alone := batches(cells, 1); len(alone) != len(cells) {
		t.Errorf("%d batches of one link for %d cells", len(alone), len(cells))
	}
}

func TestConditions(t *testing.T) {
	c := cell{RTT: 100 * time.Millisecond, Deep: true, Reorder: 0.01, Extra: 8}
	if l := c.conditions(100e6); l.Queue != 2_500_000 || l.Delay != 50*time.Millisecond || l.Extra != 12500*time.Microsecond {
		t.Errorf("conditions of %v are %+v", c, l)
	}
	if l := (cell{RTT: time.Millisecond}).conditions(100e6); l.Queue != 30_000 {
		t.Errorf("a shallow queue of %d bytes, want at least 20 packets", l.Queue)
	}
}

func TestMarkdown(t *testing.T) {
	one := func(mbit float64) *by { return &by{Samples: []sample{{Mbit: mbit}}} }
	c := cell{Congestion: "bbr", RTT: 20 * time.Millisecond, Loss: 0.01, Deep: true}
	f := &file{Congestions: []string{"cubic", "bbr"}, Results: []*result{{c, c.String(), map[string]*by{"tcpd": one(9), "linux": one(10)}}}}
	text := f.markdown()
	for _, want := range []string{
		"| bbr | 1 | 0.90 | 0.90 | 0 of 1 |", "bbr/down/20ms/deep/loss1% 0.90",
		"| 20ms | deep |  |  | 9.0 / 10.0 **0.90** |  |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "cubic: upload") || strings.Contains(text, "bbr: upload") || strings.Contains(text, "| cubic |") {
		t.Errorf("the report has a table of what was not measured:\n%s", text)
	}
}
