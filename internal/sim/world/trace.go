package world

import (
	"fmt"

	"tcpd/tcp"
)

func seconds(t tcp.Time) string { return fmt.Sprintf("%.6f", float64(t)/float64(tcp.Second)) }

func (w *world) printf(format string, args ...any) {
	fmt.Fprintf(w.trace, "%12s  %s\n", seconds(w.now-w.plan.origin), fmt.Sprintf(format, args...))
}

// note tells what an application does.
func (w *world) note(a *app, format string, args ...any) {
	if w.trace != nil {
		w.printf("%d/%d    %s", a.pair.index, a.end, fmt.Sprintf(format, args...))
	}
}

// tracePacket tells of a packet that leaves.
func (w *world) tracePacket(to int, b []byte, fate string) {
	w.printf("%s> %s  [%s]", ports(b, 1-to), w.relative(b), fate)
}

// traceArrival tells what became of a packet that arrived.
func (w *world) traceArrival(at int, p *packet, d tcp.Drop) {
	if p.corrupted {
		w.printf("end %d < corrupted, %d bytes  [%v]", at, len(p.b), d)
		return
	}
	w.printf("%s< %s  [%v]", ports(p.b, at), w.relative(p.b), d)
}

func ports(b []byte, end int) string {
	f := flowOf(b)
	p := f[len(f)-4:]
	return fmt.Sprintf("end %d %d-%d ", end, int(p[0])<<8|int(p[1]), int(p[2])<<8|int(p[3]))
}

// relative describes a packet with sequence numbers relative to the first of its flow.
func (w *world) relative(b []byte) string {
	if w.base == nil {
		w.base = make(map[string]uint32)
	}
	s, f := look(b), string(flowOf(b))
	n := (len(f) - 4) / 2
	back := f[n:2*n] + f[:n] + f[2*n+2:] + f[2*n:2*n+2]
	if _, known := w.base[f]; !known || s.flags()&(tcp.SYN|tcp.RST) == tcp.SYN {
		w.base[f] = s.seq()
	}
	if _, known := w.base[back]; !known && s.flags()&tcp.ACK != 0 {
		w.base[back] = s.ack()
	}
	return s.describe(w.base[f], w.base[back])
}
