package drill

import (
	"fmt"
	"strings"

	"tcpd/tcp"
)

// Report is what came of a run.
type Report struct {
	Mismatches []string // each begins with file:line
	head       string
	lines      []string // the conversation
}

// Err returns nil, or all mismatches with the conversation.
func (r *Report) Err() error {
	if len(r.Mismatches) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d mismatches\n%s\nthe conversation:\n%s", r.head, len(r.Mismatches), strings.Join(r.Mismatches, "\n"),
		strings.Join(r.lines, "\n"))
}

// Conversation returns what happened: lines of the script, and under them the packets that left.
func (r *Report) Conversation() string { return strings.Join(r.lines, "\n") }

func clock(t tcp.Time) string { return fmt.Sprintf("%.6f", float64(t-epoch)/1e9) }

func (r *Report) line(t tcp.Time, text string) {
	r.lines = append(r.lines, fmt.Sprintf("%14s  %s", clock(t), text))
}

func (r *Report) script(t tcp.Time, e *event) { r.line(t, fmt.Sprintf("%4d: %s", e.line, e.text)) }

func (r *Report) sent(s *segment) { r.line(s.at, "      sent "+s.String()) }

func (r *Report) note(t tcp.Time, format string, args ...any) {
	r.line(t, "      "+fmt.Sprintf(format, args...))
}

func (r *Report) mismatch(name string, line int, t tcp.Time, text string) {
	r.Mismatches = append(r.Mismatches, fmt.Sprintf("%s:%d: %s", name, line, text))
	r.line(t, "  ^^^ "+text)
}
