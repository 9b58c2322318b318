package link

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"time"
)

// capture writes packets in the format of pcap-savefile(5), nanoseconds, link type RAW.
type capture struct {
	w     *bufio.Writer
	file  io.Closer
	epoch time.Time
}

const captureLength = 120 // bytes kept of each packet: headers with all options

func newCapture(w io.WriteCloser, epoch time.Time) *capture {
	c := &capture{w: bufio.NewWriterSize(w, 1<<20), file: w, epoch: epoch}
	head := binary.LittleEndian.AppendUint32(nil, 0xa1b23c4d)
	head = binary.LittleEndian.AppendUint32(head, 2|4<<16) // version 2.4
	head = append(head, make([]byte, 8)...)
	head = binary.LittleEndian.AppendUint32(head, captureLength)
	head = binary.LittleEndian.AppendUint32(head, 101) // LINKTYPE_RAW
	c.w.Write(head)
	return c
}

// add records a packet; errors show when the capture is closed.
func (c *capture) add(now time.Duration, packet []byte) {
	if c == nil {
		return
	}
	at := c.epoch.Add(now)
	keep := min(len(packet), captureLength)
	var head [16]byte
	binary.LittleEndian.PutUint32(head[0:], uint32(at.Unix()))
	binary.LittleEndian.PutUint32(head[4:], uint32(at.Nanosecond()))
	binary.LittleEndian.PutUint32(head[8:], uint32(keep))
	binary.LittleEndian.PutUint32(head[12:], uint32(len(packet)))
	c.w.Write(head[:])
	c.w.Write(packet[:keep])
}

func (c *capture) close() error {
	if c == nil {
		return nil
	}
	return errors.Join(c.w.Flush(), c.file.Close())
}
