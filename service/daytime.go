package service

import (
	"context"
	"net"
	"time"
)

// Daytime sends date and time as a line of text and closes (RFC 867).
type Daytime struct {
	Log Log
	Now func() time.Time // nil: time.Now
	Counters
}

// daytimeLayout is the first of the two syntaxes that RFC 867 shows.
const daytimeLayout = "Monday, January 2, 2006 15:04:05-MST\r\n"

// Serve answers on l until ctx or l is closed, and closes l. Connections that run then go on.
func (d *Daytime) Serve(ctx context.Context, l net.Listener) error {
	return serve(ctx, l, d.Log, &d.Counters, d.tell)
}

func (d *Daytime) tell(conn net.Conn) Reason {
	now := d.Now
	if now == nil {
		now = time.Now
	}
	if _, err := conn.Write([]byte(now().Format(daytimeLayout))); err != nil {
		return clientFailures.of(err)
	}
	// RFC 867: any received data is thrown away.
	farewell(conn)
	return Finished
}
