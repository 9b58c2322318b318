package config

import (
	"slices"
	"strings"
)

// suggest returns a hint for a word that is none of the known ones: the one that was meant, if there is no doubt.
func suggest(word string, known []string) string {
	slices.Sort(known)
	best, distance, doubt := "", 3, false
	for _, k := range known {
		switch d := editDistance(strings.ToLower(word), k); {
		case d >= len(k) || d > distance:
		case d < distance:
			best, distance, doubt = k, d, false
		default:
			doubt = true
		}
	}
	if best != "" && !doubt {
		return `did you mean "` + best + `"?`
	}
	return "known here: " + strings.Join(known, ", ")
}

// editDistance counts the insertions, deletions, replacements and swaps of neighbours that turn a into b.
func editDistance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(row[j]+1, last[j+1]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
