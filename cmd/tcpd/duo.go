package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"tcpd/ip"
	"tcpd/tcp"
)

// duo is a client and a server of package tcp, and the packets between them, in virtual time.
type duo struct {
	w              io.Writer
	now            tcp.Time
	client, server *tcp.Table
	c, s           *tcp.Conn
	iss, irs       tcp.Seq  // of the client, and of the server
	answers        []parcel // that the client has not received yet
}

// parcel is a packet on its way.
type parcel struct {
	packet ip.Packet
	view   tcp.View
}

const (
	demoDelay = 10 * tcp.Millisecond // one way
	demoPort  = 7
)

func newDuo(w io.Writer) *duo {
	return &duo{
		w: w, client: tcp.NewTable(tcp.Config{Secret: [16]byte{1}, Seed: 1}), server: tcp.NewTable(tcp.Config{Secret: [16]byte{2}, Seed: 2}),
	}
}

// collect takes what a table has to send.
func (d *duo) collect(t *tcp.Table) (list []parcel, err error) {
	var out ip.Outgoing
	for t.Poll(d.now, &out) {
		b := append([]byte(nil), out.Header...)
		for _, part := range out.Payload {
			b = append(b, part...)
		}
		var p parcel
		if drop := p.packet.Parse(b, out.Offload); drop != ip.DropNone {
			return nil, fmt.Errorf("a packet of our own cannot be read: %v", drop)
		}
		if drop := p.view.Parse(&p.packet); drop != tcp.DropNone {
			return nil, fmt.Errorf("a segment of our own cannot be read: %v", drop)
		}
		list = append(list, p)
	}
	return list, nil
}

// pass carries what one table has to send to the other and shows it.
func (d *duo) pass(from, to *tcp.Table, arrow string) error {
	list, err := d.collect(from)
	if err != nil {
		return err
	}
	for i := range list {
		v := &list[i].view
		if v.Flags&tcp.SYN != 0 && from == d.client {
			d.iss = v.Seq
		} else if v.Flags&tcp.SYN != 0 {
			d.irs = v.Seq
		}
		fmt.Fprintf(d.w, "  %s  %s  %s\n", d.clock(), arrow, d.describe(v, from == d.client))
	}
	d.now = d.now.Add(demoDelay)
	for i := range list {
		if drop := to.Arrive(d.now, &list[i].packet); drop != tcp.DropNone {
			return fmt.Errorf("a segment of the handshake was dropped: %v", drop)
		}
	}
	return nil
}

func (d *duo) clock() string { return fmt.Sprintf("%5.1f ms", float64(d.now)/float64(tcp.Millisecond)) }

// describe writes a segment of the handshake.
func (d *duo) describe(v *tcp.View, fromClient bool) string {
	seq, ack := v.Seq-d.irs, v.Ack-d.iss
	if fromClient {
		seq, ack = v.Seq-d.iss, v.Ack-d.irs
	}
	s := fmt.Sprintf("%-8s seq %d", flagWords(v.Flags), seq)
	if v.Flags&tcp.ACK != 0 {
		s += fmt.Sprintf(" ack %d", ack)
	}
	s += fmt.Sprintf(" win %d", v.Window)
	if v.Flags&tcp.SYN != 0 {
		s += fmt.Sprintf(" mss %d wscale %d", v.MSS, v.WindowScale)
		if v.SACKPermitted {
			s += " sackOK"
		}
		if v.HasTimestamps {
			s += " timestamps"
		}
	}
	return s
}

// flagWords writes the control bits in full.
func flagWords(f tcp.Flags) string {
	var words []string
	for _, x := range []struct {
		flag tcp.Flags
		word string
	}{{tcp.SYN, "SYN"}, {tcp.FIN, "FIN"}, {tcp.RST, "RST"}, {tcp.PSH, "PSH"}, {tcp.ACK, "ACK"}, {tcp.URG, "URG"}, {tcp.ECE, "ECE"}, {tcp.CWR, "CWR"}} {
		if f&x.flag != 0 {
			words = append(words, x.word)
		}
	}
	return strings.Join(words, " ")
}

func (d *duo) handshake() error {
	flow := tcp.Flow{Local: ip.Addr4([4]byte{10, 77, 0, 1}), Remote: ip.Addr4([4]byte{10, 77, 0, 2}), RemotePort: demoPort}
	id, err := d.server.Listen(ip.Addr{}, demoPort, tcp.ListenOptions{})
	if err != nil {
		return err
	}
	if d.c, err = d.client.Connect(d.now, flow, tcp.Options{NoDelay: true}); err != nil {
		return err
	}
	for _, step := range []struct {
		from, to *tcp.Table
		arrow    string
	}{{d.client, d.server, "client -> server"}, {d.server, d.client, "client <- server"}, {d.client, d.server, "client -> server"}} {
		if err := d.pass(step.from, step.to, step.arrow); err != nil {
			return err
		}
	}
	if d.s = d.server.Accept(id); d.s == nil {
		return errors.New("the handshake was not completed")
	}
	return nil
}

// send writes the segments, each of which leaves at once.
func (d *duo) send(segments []string) (sent []parcel, err error) {
	for i, text := range segments {
		if _, err := d.client.Write(d.now, d.c, []byte(text)); err != nil {
			return nil, err
		}
		list, err := d.collect(d.client)
		if err != nil {
			return nil, err
		}
		if len(list) != 1 || string(list[0].view.Payload) != text {
			return nil, fmt.Errorf("segment %d did not leave as one: %d packets", i+1, len(list))
		}
		sent = append(sent, list[0])
	}
	return sent, nil
}

// arrive lets the server receive the segments in an order, and read what it can. It acknowledges each arrival, or all
// together in the end.
func (d *duo) arrive(sent []parcel, order []int, each bool) (delivered string, err error) {
	buf := make([]byte, maxDemoMessage)
	for _, i := range order {
		d.now = d.now.Add(tcp.Millisecond)
		d.server.Advance(d.now)
		v := &sent[i].view
		drop := d.server.Arrive(d.now, &sent[i].packet)
		if drop != tcp.DropNone {
			return delivered, fmt.Errorf("segment %d was dropped: %v", i+1, drop)
		}
		n, err := d.server.Read(d.now, d.s, buf)
		if err != nil {
			return delivered, err
		}
		delivered += string(buf[:n])
		fmt.Fprintf(d.w, "  %s  seq %-10s %q\n", d.clock(), rangeText(tcp.Range{Start: v.Seq, End: v.End()}, d.iss), v.Payload)
		fmt.Fprintf(d.w, "            delivered %s, waiting %s\n", quotedOrNothing(buf[:n]), rangesText(d.server.OutOfOrder(d.s), 0))
		if each {
			if err := d.answer(); err != nil {
				return delivered, err
			}
		}
	}
	if !each {
		if err := d.answer(); err != nil {
			return delivered, err
		}
	}
	return delivered, d.answerLate()
}

// answerLate lets time pass until everything is acknowledged: the last acknowledgement may be a delayed one.
func (d *duo) answerLate() error {
	end := d.iss + 1 + tcp.Seq(d.client.Info(d.now, d.c).BytesSent)
	for n := len(d.answers); n == 0 || d.answers[n-1].view.Ack != end; n = len(d.answers) {
		at := d.server.Deadline()
		if at == tcp.Never {
			return errors.New("the receiver never acknowledged everything")
		}
		d.now = max(d.now, at)
		d.server.Advance(d.now)
		list, err := d.collect(d.server)
		if err != nil {
			return err
		}
		if len(list) > 0 {
			fmt.Fprintf(d.w, "  %s  nothing else came to acknowledge\n", d.clock())
			d.show(list)
		}
	}
	return nil
}

// answer takes what the server has to send and shows it.
func (d *duo) answer() error {
	list, err := d.collect(d.server)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		fmt.Fprintln(d.w, "            nothing sent: the acknowledgement may wait for another segment")
	}
	d.show(list)
	return nil
}

func (d *duo) show(list []parcel) {
	for i := range list {
		v := &list[i].view
		text := fmt.Sprintf("ACK %d", v.Ack-d.iss)
		if len(v.SACK) > 0 {
			text += " SACK " + rangesText(v.SACK, d.iss)
		}
		fmt.Fprintf(d.w, "            sent %s\n", text)
	}
	d.answers = append(d.answers, list...)
}

// settle lets the answers reach the client, and says what it knows then.
func (d *duo) settle() string {
	d.now = d.now.Add(demoDelay)
	for i := range d.answers {
		d.client.Arrive(d.now, &d.answers[i].packet)
	}
	info := d.client.Info(d.now, d.c)
	return fmt.Sprintf("%d bytes acknowledged, %d unacknowledged, %d retransmitted", info.BytesAcked, info.Unacked, info.Retransmits)
}

func rangeText(r tcp.Range, iss tcp.Seq) string { return fmt.Sprintf("%d:%d", r.Start-iss, r.End-iss) }

func rangesText(list []tcp.Range, iss tcp.Seq) string {
	if len(list) == 0 {
		return "nothing"
	}
	var texts []string
	for _, r := range list {
		texts = append(texts, rangeText(r, iss))
	}
	return strings.Join(texts, " ")
}

func quotedOrNothing(b []byte) string {
	if len(b) == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%q", b)
}
