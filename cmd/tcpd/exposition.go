package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// exposition writes metrics in the text format of Prometheus, version 0.0.4.
type exposition struct{ b strings.Builder }

// counter writes a family with one sample that only grows.
func (e *exposition) counter(name, help string, value uint64) {
	e.family(name, "counter", help)
	e.sample(name, float64(value))
}

// gauge writes a family with one sample that goes up and down.
func (e *exposition) gauge(name, help string, value float64) {
	e.family(name, "gauge", help)
	e.sample(name, value)
}

// family begins a family; its samples follow.
func (e *exposition) family(name, kind, help string) {
	fmt.Fprintf(&e.b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// sample writes a value; labels are names and values in turn.
func (e *exposition) sample(name string, value float64, labels ...string) {
	e.b.WriteString(name)
	for i := 0; i < len(labels); i += 2 {
		e.b.WriteString([]string{"{", ","}[min(i, 1)])
		fmt.Fprintf(&e.b, `%s="%s"`, labels[i], labelEscapes.Replace(labels[i+1]))
	}
	if len(labels) > 0 {
		e.b.WriteByte('}')
	}
	e.b.WriteByte(' ')
	e.b.WriteString(strconv.FormatFloat(value, 'f', -1, 64))
	e.b.WriteByte('\n')
}

func (e *exposition) writeTo(w io.Writer) error {
	_, err := io.WriteString(w, e.b.String())
	return err
}
