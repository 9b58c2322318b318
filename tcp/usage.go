package tcp

// usage knows how much of the congestion window was used lately: congestion window validation (RFC 7661).
type usage struct {
	last, current uint32 // largest flight of the last round trip and of this one
	end           Seq    // this one ends when this is acknowledged
	since         Time   // the window has not been used since; 0: it is
}

// note takes the flight that an acknowledgement found, and returns pipeACK.
func (u *usage) note(a *acknowledged) int {
	u.current = max(u.current, uint32(a.flight))
	pipe := u.pipeAck()
	if u.end.LessEq(a.una) {
		u.last, u.current, u.end = u.current, 0, a.nxt
	}
	return pipe
}

// pipeAck is what the path has taken in a round trip, of late (RFC 7661, section 4.2).
func (u *usage) pipeAck() int { return int(max(u.last, u.current)) }

// pause: the application has sent less than the window allows.
func (u *usage) pause(now Time) {
	if u.since == 0 {
		u.since = now
	}
}

// resume returns how long the pause was that ends now; 0: there was none.
func (u *usage) resume(now Time) Duration {
	if u.since == 0 {
		return 0
	}
	d := now.Sub(u.since)
	u.since = 0
	return d
}
