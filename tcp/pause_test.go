package tcp

import "testing"

func TestAttack_T08_aPauseIsNoSilenceOfThePeer(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.table.SetUserTimeout(c.now, c.conn, 10*Second)
		c.write(1, 100)
		c.want("data", seg{flags: ACK | PSH, seq: 1, ack: 1, len: 100})
		c.advance(Second)
		c.discard() // sent again: the user timeout has begun
		c.now = c.now.Add(Minute)
		c.table.Advance(c.now)
		c.settle()
		c.wantState("a machine that slept for a minute has not waited for its peer", Established)
		c.send(seg{flags: ACK, seq: 1, ack: 101})
		c.discard()
		c.wantState("who answers now is in time", Established)
	})
}
