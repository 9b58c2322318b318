package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// markdown is the whole report.
func (f *file) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The grid: tcpd against Linux\n\n")
	fmt.Fprintf(&b, "Goodput of one connection in Mbit/s, tcpd / Linux, and **their ratio**; medians. Both have the same congestion "+
		"control in the sender.\nLink %g Mbit/s, random loss both ways; a queue of a quarter of the bandwidth-delay product (shallow, at "+
		"least 30 kB) or of two (deep,\nat least 250 kB). %s; %s; seed %d; up to %d full links at a time.\nThe emulator's own error: %v.\n\n%s",
		f.Mbit, f.Machine, f.Taken.Format(time.DateOnly), f.Seed, f.Links, f.Accuracy, f.summary())
	for _, congestion := range f.Congestions {
		for _, upload := range []bool{false, true} {
			title := congestion + ": download, tcpd or the kernel sends"
			if upload {
				title = congestion + ": upload, the client's kernel sends to tcpd or to a kernel"
			}
			losses, reorderings := f.lossTable(congestion, upload), f.reorderTable(congestion, upload)
			if losses+reorderings != "" {
				fmt.Fprintf(&b, "\n## %s\n%s%s", title, losses, reorderings)
			}
		}
	}
	return b.String()
}

// summary says for each congestion control how many cells are where, and names the low ones, the worst first.
func (f *file) summary() string {
	var rows, unsure []string
	var low []*result
	for _, congestion := range f.Congestions {
		var ratios []float64
		enough := 0
		for _, r := range f.Results {
			if r.Cell.Congestion != congestion {
				continue
			}
			ratios = append(ratios, r.ratio())
			if r.ratio() >= 0.95 {
				enough++
			} else {
				low = append(low, r)
			}
			if r.disturbed() {
				unsure = append(unsure, r.Name)
			}
		}
		if len(ratios) > 0 {
			rows = append(rows, fmt.Sprintf("| %s | %d | %.2f | %.2f | %d of %d |",
				congestion, len(ratios), median(ratios), slices.Min(ratios), enough, len(ratios)))
		}
	}
	if len(rows) == 0 {
		return "Nothing was measured.\n"
	}
	s := strings.TrimPrefix(table("| congestion control | cells | median ratio | lowest | 0.95 or more |", 5, rows), "\n")
	slices.SortFunc(low, func(a, b *result) int { return cmp.Compare(a.ratio(), b.ratio()) })
	var names []string
	for _, r := range low {
		names = append(names, fmt.Sprintf("%s %.2f", r.Name, r.ratio()))
	}
	if len(names) > 0 {
		s += "\nBelow 0.95, the lowest first: " + strings.Join(names, ", ") + ".\n"
	}
	if len(unsure) > 0 {
		s += "\nDisturbed by other processes or by a late emulator: " + strings.Join(unsure, ", ") + ".\n"
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

func (f *file) lossTable(congestion string, upload bool) string {
	head := "| RTT | queue |"
	for _, loss := range losses {
		head += fmt.Sprintf(" loss %s |", percent(loss))
	}
	var rows []string
	for _, rtt := range roundTrips {
		for _, deep := range depths {
			c := cell{Congestion: congestion, Upload: upload, RTT: rtt, Deep: deep}
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

func (f *file) reorderTable(congestion string, upload bool) string {
	head := "| RTT | overtaken packets are late by |"
	for _, share := range reorders {
		head += fmt.Sprintf(" reordering %s |", percent(share))
	}
	var rows []string
	for _, rtt := range roundTrips {
		for _, extra := range []int{8, 2} {
			c := cell{Congestion: congestion, Upload: upload, RTT: rtt, Deep: true, Extra: extra}
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
	return "\n" + head + "\n|" + strings.Repeat(" --- |", columns) + "\n" + strings.Join(rows, "\n") + "\n"
}
