package main

import (
	"fmt"
	"time"

	"tcpd/bench/internal/link"
)

// cell is a point of the grid.
type cell struct {
	Congestion string // the sender's, in both contenders
	Upload     bool
	RTT        time.Duration
	Loss       float64 // share of packets, each way
	Deep       bool    // the queue
	Reorder    float64 // share of packets that are overtaken
	Extra      int     // how much later they are, in parts of a round trip: 8 is an eighth
}

func (c cell) direction() string {
	if c.Upload {
		return "up"
	}
	return "down"
}

func (c cell) queueName() string {
	if c.Deep {
		return "deep"
	}
	return "shallow"
}

// String is the cell's name, which flag -only matches.
func (c cell) String() string {
	s := fmt.Sprintf("%s/%s/%v/%s/loss%s", c.Congestion, c.direction(), c.RTT, c.queueName(), percent(c.Loss))
	if c.Reorder > 0 {
		s += fmt.Sprintf("/reorder%s/rtt%d", percent(c.Reorder), c.Extra)
	}
	return s
}

func percent(share float64) string { return fmt.Sprintf("%g%%", share*100) }

// conditions turn the cell into what the link does. Queues are in products of bandwidth and round trip: a quarter, or two,
// with floors of 20 packets and of 20 ms at 100 Mbit/s.
func (c cell) conditions(rate float64) link.Conditions {
	bdp := rate / 8 * c.RTT.Seconds()
	l := link.Conditions{Rate: rate, Delay: c.RTT / 2, Loss: c.Loss, Reorder: c.Reorder, Queue: max(int(bdp/4), 30_000)}
	if c.Deep {
		l.Queue = max(int(bdp*2), 250_000)
	}
	if c.Extra > 0 {
		l.Extra = c.RTT / time.Duration(c.Extra)
	}
	return l
}

// lasts is how long a sample is taken: slow start and some growth must fit, and fifty round trips or more, so that a hole that is open
// at the end, behind which nothing counts yet, does not decide.
func (c cell) lasts() time.Duration {
	return map[time.Duration]time.Duration{
		1 * time.Millisecond: 2 * time.Second, 20 * time.Millisecond: 3 * time.Second,
		100 * time.Millisecond: 6 * time.Second, 300 * time.Millisecond: 15 * time.Second,
	}[c.RTT]
}

// samples is how many a round takes. Those that fill their links differ little; the others vary with what is lost.
func (c cell) samples() int {
	switch {
	case c.Loss == 0 || c.RTT < 20*time.Millisecond:
		return 2
	case c.Congestion == "bbr":
		return 4
	}
	return 8
}

// load is what a round costs the processors at most, in links that are full. Loss keeps CUBIC far below the link's rate: 0.1%
// to some 20 Mbit/s at 20 ms, 1% to 5; BBR it leaves near it.
func (c cell) load() int {
	switch {
	case c.samples() < 8:
		return c.samples()
	case c.Loss > 0.001:
		return 1
	}
	return 3
}

var (
	roundTrips = []time.Duration{1 * time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond}
	losses     = []float64{0, 0.001, 0.01, 0.03}
	reorders   = []float64{0.01, 0.05}
	depths     = []bool{false, true}
)

// fullGrid is every cell of a congestion control, downloads first.
func fullGrid(congestion string) (cells []cell) {
	for _, upload := range []bool{false, true} {
		for _, rtt := range roundTrips {
			for _, deep := range depths {
				for _, loss := range losses {
					cells = append(cells, cell{Congestion: congestion, Upload: upload, RTT: rtt, Loss: loss, Deep: deep})
				}
			}
		}
		for _, rtt := range roundTrips[1:3] {
			for _, extra := range []int{8, 2} {
				for _, reorder := range reorders {
					cells = append(cells, cell{Congestion: congestion, Upload: upload, RTT: rtt, Deep: true, Reorder: reorder, Extra: extra})
				}
			}
		}
	}
	return cells
}

// quickGrid is the part that shows most in little time.
func quickGrid(congestion string) (cells []cell) {
	for _, c := range fullGrid(congestion) {
		plain := c.Reorder == 0 && (c.RTT == 20*time.Millisecond || c.RTT == 100*time.Millisecond && c.Loss > 0)
		overtaken := c.Reorder == 0.01 && c.RTT == 20*time.Millisecond
		if c.Deep && (plain || overtaken) && !(c.Upload && c.RTT == 100*time.Millisecond) {
			cells = append(cells, c)
		}
	}
	return cells
}

// batches puts cells together that run at the same time: they take equally long, and fill at most so many links, or are one.
func batches(cells []cell, links int) (all [][]cell) {
	var loads []int
	for _, c := range cells {
		i := 0
		for i < len(all) && (all[i][0].lasts() != c.lasts() || loads[i]+c.load() > links) {
			i++
		}
		if i == len(all) {
			all, loads = append(all, nil), append(loads, 0)
		}
		all[i], loads[i] = append(all[i], c), loads[i]+c.load()
	}
	return all
}
