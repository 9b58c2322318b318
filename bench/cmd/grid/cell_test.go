package main

import (
	"strings"
	"testing"
	"time"
)

func TestGrids(t *testing.T) {
	full, quick := fullGrid(), quickGrid()
	if len(full) != 80 {
		t.Errorf("the grid has %d cells, want 80: 4 round trips x 4 losses x 2 queues and 8 with reordering, both ways", len(full))
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
	if d := took(quick, 2); d > 220*time.Second {
		t.Errorf("the quick grid samples for %v, which leaves no time of 4 minutes for the rest", d)
	}
}

// took is how long the samples last, of two contenders.
func took(cells []cell, rounds int) (d time.Duration) {
	for _, c := range cells {
		d += c.lasts() * time.Duration(2*rounds)
	}
	return d
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
	c := cell{RTT: 20 * time.Millisecond, Loss: 0.01, Deep: true}
	f := &file{Congestion: "cubic", Results: []*result{{c, c.String(), map[string]*by{"tcpd": one(9), "linux": one(10)}}}}
	text := f.markdown()
	for _, want := range []string{
		"1 cells: median ratio 0.90, lowest 0.90; 1 below 0.95.", "down/20ms/deep/loss1% 0.90",
		"| 20ms | deep |  |  | 9.0 / 10.0 **0.90** |  |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "Upload") {
		t.Errorf("the report has a table of what was not measured:\n%s", text)
	}
}
