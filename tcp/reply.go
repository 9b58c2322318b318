package tcp

import "tcpd/ip"

// maxReplies bounds the segments that wait to leave without a record of their own (attack class T04).
const maxReplies = 1024

// reply is a segment without payload that is sent once and belongs to no connection.
type reply struct {
	flow     Flow
	seq, ack Seq
	flags    Flags
	window   uint16
	tos, ttl uint8
	hasTS    bool
	tsVal    uint32
	tsEcr    uint32
}

func (t *Table) reply(r reply) {
	if t.replies.n >= maxReplies {
		t.counters.RepliesSuppressed++
		return
	}
	if r.flags.has(RST) {
		t.counters.ResetsOut++
	}
	t.replies.push(r)
}

// marked completes a reply that speaks for c.
func (c *Conn) marked(r reply) reply {
	r.flow, r.tos, r.ttl = c.flow, c.opts.TrafficClass, c.opts.TTL
	return r
}

// markedHalf completes a reply that speaks for h.
func (t *Table) markedHalf(h *half, r reply) reply {
	o := &t.listeners[h.listener].opts.Options
	r.flow, r.tos, r.ttl = h.flow, o.TrafficClass, o.TTL
	return r
}

func (t *Table) buildReply(_ Time, r *reply, out *ip.Outgoing) {
	t.options.n = 0
	if r.hasTS {
		t.options.timestamps(r.tsVal, r.tsEcr)
	}
	t.build(&header{
		flow: &r.flow, seq: r.seq, ack: r.ack, flags: r.flags, window: r.window, options: t.options.bytes(), tos: r.tos, ttl: r.ttl,
	}, nil, 0, out)
}

// build makes out from a header and a payload. With more than segmentSize bytes of payload it is a super-packet.
func (t *Table) build(h *header, payload [][]byte, segmentSize int, out *ip.Outgoing) {
	n := 0
	for _, p := range payload {
		n += len(p)
	}
	total, network := h.put(t.head[:], n)
	out.Header, out.Payload = t.head[:total], payload
	out.NetworkLen, out.ChecksumOffset = network, checksumOffset
	out.Offload = ip.Offload{Checksum: ip.ChecksumPartial}
	if n > segmentSize {
		out.Offload.SegmentSize = uint16(segmentSize)
	}
	t.counters.SegmentsOut++
}
