package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// markdown is the whole report.
func (f *file) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The grid: tcpd %s against Linux %s\n\n", f.Congestion, f.Congestion)
	fmt.Fprintf(&b, "Goodput of one connection in Mbit/s, tcpd / Linux, and **their ratio**; medians. Link %g Mbit/s, random loss both "+
		"ways; a queue of a\nquarter of the bandwidth-delay product (shallow, at least 30 kB) or of two (deep, at least 250 kB). Linux %s, %s, seed %d.\n"+
		"The emulator's own error: %v.\n\n%s\n", f.Mbit, f.Kernel, f.Taken.Format(time.DateOnly), f.Seed, f.Accuracy, f.summary())
	for _, upload := range []bool{false, true} {
		title := "Download: tcpd, or the kernel, sends"
		if upload {
			title = "Upload: the client's kernel sends to tcpd, or to a kernel"
		}
		losses, reorderings := f.lossTable(upload), f.reorderTable(upload)
		if losses+reorderings != "" {
			fmt.Fprintf(&b, "\n## %s\n%s%s", title, losses, reorderings)
		}
	}
	return b.String()
}

// summary says how many cells are where.
func (f *file) summary() string {
	var ratios []float64
	var low []string
	for _, r := range f.Results {
		ratios = append(ratios, r.ratio())
		if r.ratio() < 0.95 {
			low = append(low, fmt.Sprintf("%s %.2f", r.Name, r.ratio()))
		}
	}
	if len(ratios) == 0 {
		return "Nothing was measured.\n"
	}
	s := fmt.Sprintf("%d cells: median ratio %.2f, lowest %.2f; %d below 0.95.\n", len(ratios), median(ratios), slices.Min(ratios), len(low))
	if len(low) > 0 {
		s += "\nBelow 0.95: " + strings.Join(low, ", ") + ".\n"
	}
	return s
}

// find returns a cell's entry in a table, empty when it was not measured.
func (f *file) find(c cell) string {
	for _, r := range f.Results {
		if r.Cell == c {
			return fmt.Sprintf("%.1f / %.1f **%.2f**", r.Sides["tcpd"].median(), r.Sides["linux"].median(), r.ratio())
		}
	}
	return ""
}

func (f *file) lossTable(upload bool) string {
	head := "\n| RTT | queue |"
	for _, loss := range losses {
		head += fmt.Sprintf(" loss %s |", percent(loss))
	}
	var rows []string
	for _, rtt := range roundTrips {
		for _, deep := range depths {
			c := cell{Upload: upload, RTT: rtt, Deep: deep}
			row := fmt.Sprintf("| %v | %s |", rtt, c.queueName())
			some := false
			for _, c.Loss = range losses {
				entry := f.find(c)
				some = some || entry != ""
				row += " " + entry + " |"
			}
			if some {
				rows = append(rows, row)
			}
		}
	}
	return table(head, 2+len(losses), rows)
}

func (f *file) reorderTable(upload bool) string {
	head := "\n| RTT | overtaken packets are late by |"
	for _, share := range reorders {
		head += fmt.Sprintf(" reordering %s |", percent(share))
	}
	var rows []string
	for _, rtt := range roundTrips {
		for _, extra := range []int{8, 2} {
			c := cell{Upload: upload, RTT: rtt, Deep: true, Extra: extra}
			row := fmt.Sprintf("| %v | RTT/%d |", rtt, extra)
			some := false
			for _, c.Reorder = range reorders {
				entry := f.find(c)
				some = some || entry != ""
				row += " " + entry + " |"
			}
			if some {
				rows = append(rows, row)
			}
		}
	}
	return table(head, 2+len(reorders), rows)
}

// table is empty without rows.
func table(head string, columns int, rows []string) string {
	if len(rows) == 0 {
		return ""
	}
	return head + "\n|" + strings.Repeat(" --- |", columns) + "\n" + strings.Join(rows, "\n") + "\n"
}
