package main

import (
	"fmt"
	"html"
	"slices"
	"strings"
)

// Measures of the picture, in pixels.
const (
	svgWidth  = 1120
	svgHere   = 440 // our lifeline
	svgThere  = 680 // the peer's
	svgTop    = 150
	svgRow    = 17 // between labels
	svgPerRow = 24 // of height for each segment, on average
	svgBreak  = 46 // what is left of a long pause
	svgLabel  = 22 // from the lifeline to a label
)

// Colours of segments.
const (
	svgSent     = "#1f5fa8"
	svgReceived = "#2f7d43"
	svgAgain    = "#d9730d"
	svgDropped  = "#c0272d"
	svgFaint    = "#8a8f98"
)

var svgColours = []string{svgSent, svgReceived, svgAgain, svgDropped}

// picture draws the segments of a connection between two lifelines. What the connection saw are times at our end; at the
// other one a segment is half a round trip earlier or later, which is an estimate.
type picture struct {
	b      strings.Builder
	v      *connDetail
	oneWay float64 // ms
	scale  timeScale
	labels [2]float64 // where the last label ends: of what we sent, and of what came
	bottom float64
}

// drawLadder returns the picture as SVG.
func drawLadder(v *connDetail) string {
	p := &picture{v: v, oneWay: v.MinRTT / 2, labels: [2]float64{svgTop - svgRow, svgTop - svgRow}}
	if p.oneWay == 0 {
		p.oneWay = v.RTT / 2
	}
	var times []float64
	for i := range v.Segments {
		from, to := p.ends(&v.Segments[i])
		times = append(times, from, to)
	}
	p.scale = newTimeScale(times, float64(len(v.Segments)*svgPerRow))
	p.bottom = p.scale.y(slices.Max(times)) + 20
	var body strings.Builder
	for i := range v.Segments {
		p.segment(&v.Segments[i])
	}
	body.WriteString(p.b.String())
	p.b.Reset()
	p.bottom = max(p.bottom, p.labels[0]+20, p.labels[1]+20)
	p.head()
	p.b.WriteString(body.String())
	p.b.WriteString("</svg>\n")
	return p.b.String()
}

// ends returns when a segment left and arrived.
func (p *picture) ends(s *segmentView) (from, to float64) {
	if s.Sent {
		return s.At, s.At + p.oneWay
	}
	return s.At - p.oneWay, s.At
}

func (p *picture) put(format string, args ...any) { fmt.Fprintf(&p.b, format+"\n", args...) }

func (p *picture) text(x, y float64, anchor, fill, weight, s string) {
	p.put(`<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s" font-weight="%s">%s</text>`, x, y, anchor, fill, weight, html.EscapeString(s))
}

// head draws what lies behind the segments: title, legend, lifelines, ticks and pauses.
func (p *picture) head() {
	h := p.bottom + 30
	p.put(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%.0f" viewBox="0 0 %d %.0f" font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, monospace" font-size="12">`, svgWidth, h, svgWidth, h)
	p.put(`<title>%s</title>`, html.EscapeString(fmt.Sprintf("TCP connection %s: %s - %s", p.v.ID, p.v.Local, p.v.Peer)))
	p.put(`<defs>`)
	for i, colour := range svgColours {
		p.put(`<marker id="m%d" viewBox="0 0 10 8" refX="10" refY="4" markerWidth="9" markerHeight="7" orient="auto"><path d="M0 0L10 4L0 8z" fill="%s"/></marker>`, i, colour)
	}
	p.put(`</defs><rect width="100%%" height="100%%" fill="#ffffff"/>`)
	p.put(`<g font-size="16">`)
	p.text(24, 32, "start", "#16191d", "bold", fmt.Sprintf("connection %s  %s  %s", p.v.ID, p.v.State, orDash(p.v.Service)))
	p.put(`</g>`)
	p.text(24, 54, "start", "#4a4f57", "normal", fmt.Sprintf("round trip %s ± %s, at least %s · the last %d of %d segments · times are those at our end · numbers are relative, the SYN has 0",
		spell(p.v.RTT), spell(p.v.RTTVar), spell(p.v.MinRTT), len(p.v.Segments), p.v.Recorded))
	p.text(24, 72, "start", "#4a4f57", "normal", p.v.pathText())
	p.legend()
	p.text(svgHere+4, svgTop-26, "end", "#16191d", "bold", "here "+p.v.Local)
	p.text(svgThere-4, svgTop-26, "start", "#16191d", "bold", "peer "+p.v.Peer)
	for _, x := range []int{svgHere, svgThere} {
		p.put(`<line x1="%d" y1="%d" x2="%d" y2="%.1f" stroke="#30353c" stroke-width="2"/>`, x, svgTop-16, x, p.bottom)
	}
	p.ticks()
	p.pauses()
}

func (p *picture) legend() {
	x := 24.0
	for _, l := range []struct{ colour, dash, text string }{
		{svgSent, "", "sent"}, {svgReceived, "", "received"}, {svgAgain, "6 3", "sent again"}, {svgDropped, "2 3", "dropped here, in whole or in part"},
		{svgFaint, "", "long pauses are cut"},
	} {
		p.put(`<line x1="%.1f" y1="92" x2="%.1f" y2="92" stroke="%s" stroke-width="2" stroke-dasharray="%s"/>`, x, x+26, l.colour, l.dash)
		p.text(x+32, 96, "start", "#4a4f57", "normal", l.text)
		x += 60 + 7.4*float64(len(l.text))
	}
}

// style returns how a segment is drawn: colour, its marker, width and dashes.
func (s *segmentView) style() (colour string, width float64, dash string) {
	colour, width = svgReceived, 1.8
	if s.Sent {
		colour = svgSent
	}
	if s.Len == 0 && s.Flags == "ACK" { // an acknowledgement and nothing else
		width = 0.9
	}
	switch {
	case s.Drop != "":
		colour, dash = svgDropped, "2 3"
	case s.Again:
		colour, dash = svgAgain, "6 3"
	}
	return colour, width, dash
}

// segment draws an arrow and its label, which stands at the end where the segment begins and moves down where there is no
// room.
func (p *picture) segment(s *segmentView) {
	from, to := p.ends(s)
	x1, x2, side, sign, anchor := float64(svgHere), float64(svgThere), 0, -1.0, "end"
	if !s.Sent {
		x1, x2, side, sign, anchor = x2, x1, 1, 1, "start"
	}
	y1, y2 := p.scale.y(from), p.scale.y(to)
	colour, width, dash := s.style()
	end := x2
	if s.Drop != "" { // it came as far as that
		end = x2 + sign*10
	}
	p.put(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="%.1f" stroke-dasharray="%s" marker-end="url(#m%d)"/>`,
		x1, y1, end, y2, colour, width, dash, slices.Index(svgColours, colour))
	if s.Drop != "" {
		p.put(`<path d="M%.1f %.1fl8 8m0 -8l-8 8" stroke="%s" stroke-width="2.2" fill="none"/>`, x2+sign*4-4, y2-4, colour)
	}
	y := max(y1, p.labels[side]+svgRow)
	p.labels[side] = y
	p.put(`<polyline points="%.1f,%.1f %.1f,%.1f %.1f,%.1f" fill="none" stroke="%s" stroke-width="0.7" opacity="0.6"/>`,
		x1, y1, x1+sign*10, y, x1+sign*(svgLabel-4), y, colour)
	p.text(x1+sign*svgLabel, y+4, anchor, colour, onOff(width > 1, "bold", "normal"), s.caption())
}

// caption is the label of a segment.
func (s *segmentView) caption() string {
	t := stamp(s.At) + "  " + s.Flags
	if s.Len > 0 || s.Flags != "ACK" {
		t += fmt.Sprintf(" %d:%d", s.Seq, s.Seq+uint32(s.Len))
	}
	if strings.Contains(s.Flags, "ACK") {
		t += fmt.Sprintf(" ack %d", s.Ack)
	}
	if len(s.SACK) == 2 {
		t += fmt.Sprintf(" sack %d:%d", s.SACK[0], s.SACK[1])
	}
	switch {
	case s.Drop != "":
		t += " ✕ " + s.Drop
	case s.Again:
		t += " ↻ again"
	}
	return t
}

// ticks draws a mark on our lifeline every so often, and says how often.
func (p *picture) ticks() {
	step := p.scale.tick()
	for _, piece := range p.scale.pieces {
		for k := int(piece.from/step) + 1; float64(k)*step <= piece.to; k++ {
			y := p.scale.y(float64(k) * step)
			p.put(`<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#30353c"/>`, svgHere-3, y, svgHere+3, y)
		}
	}
	p.text((svgHere+svgThere)/2, p.bottom+16, "middle", "#4a4f57", "normal", "a tick is "+spell(step))
}

// pauses marks the places where nothing happened for long.
func (p *picture) pauses() {
	for i := 1; i < len(p.scale.pieces); i++ {
		before, after := p.scale.pieces[i-1], p.scale.pieces[i]
		y := p.scale.y(before.to) + svgBreak/2
		for _, x := range []int{svgHere, svgThere} {
			p.put(`<rect x="%d" y="%.1f" width="8" height="10" fill="#ffffff"/><path d="M%d %.1fl8 -4m-8 12l8 -4" stroke="#30353c" fill="none"/>`, x-4, y-5, x-4, y-2)
		}
		p.text((svgHere+svgThere)/2, y+4, "middle", svgFaint, "normal", spell(after.from-before.to)+" without a segment")
	}
}
