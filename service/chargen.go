package service

import (
	"context"
	"net"
	"sync"
)

// Chargen sends a pattern of characters for ever, as fast as the client takes them (RFC 864).
type Chargen struct {
	Log Log
	Counters
}

// The pattern of RFC 864: each line has 72 of the 95 printing characters, starting one further than the line before.
const (
	chargenFirst  = ' '
	chargenChars  = 95
	chargenLine   = 72
	chargenPeriod = chargenChars * (chargenLine + len("\r\n"))
	chargenWrite  = 480 << 10
)

// chargenPattern returns the pattern repeated until a write may start anywhere in the first period.
var chargenPattern = sync.OnceValue(func() []byte {
	b := make([]byte, 0, chargenPeriod+chargenWrite+chargenLine+len("\r\n"))
	for line := 0; len(b) < chargenPeriod+chargenWrite; line++ {
		for i := range chargenLine {
			b = append(b, chargenFirst+byte((line+i)%chargenChars))
		}
		b = append(b, "\r\n"...)
	}
	return b
})

// Serve answers on l until ctx or l is closed, and closes l. Connections that run then go on.
func (c *Chargen) Serve(ctx context.Context, l net.Listener) error {
	return serve(ctx, l, c.Log, &c.Counters, c.send)
}

// send writes until the connection breaks. It has a goroutine of its own on every listener: while it copies into the send buffer,
// without the shard's lock, acknowledgements and other connections go on, and nobody of its clients is idle. A client's FIN does not
// end it: RFC 864 ends the stream when the user aborts or closes, and a closed client answers the next segment with a RST.
func (c *Chargen) send(conn net.Conn) Reason {
	go guard(c.Log, func() Reason { return discard(conn) }) // RFC 864: any received data is thrown away
	if corked, ok := conn.(interface{ SetCork(on bool) error }); ok {
		// The stream has no end: what does not fill a segment goes with what follows. The next Write tells of an error.
		_ = corked.SetCork(true)
	}
	pattern := chargenPattern()
	for at := 0; ; {
		n, err := conn.Write(pattern[at : at+chargenWrite])
		if err != nil {
			return clientFailures.of(err)
		}
		at = (at + n) % chargenPeriod
	}
}
