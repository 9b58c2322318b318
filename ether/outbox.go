package ether

// outbox keeps frames until they are asked for. Its buffers are used again once all were.
type outbox struct {
	frames [][]byte
	next   int // to be asked for
	filled int
}

// add returns a buffer of size bytes, whose content will be sent.
func (o *outbox) add(size int) []byte {
	if o.next == o.filled {
		o.next, o.filled = 0, 0
	}
	if o.filled == len(o.frames) {
		o.frames = append(o.frames, nil)
	}
	b := o.frames[o.filled]
	if cap(b) < size {
		b = make([]byte, size)
	}
	b = b[:size]
	o.frames[o.filled] = b
	o.filled++
	return b
}

// hand puts a whole frame there, which belongs to the outbox from now on.
func (o *outbox) hand(frame []byte) {
	o.add(0)
	o.frames[o.filled-1] = frame
}

func (o *outbox) poll() []byte {
	if o.next == o.filled {
		return nil
	}
	o.next++
	return o.frames[o.next-1]
}
