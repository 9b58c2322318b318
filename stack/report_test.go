package stack_test

import (
	"testing"
	"time"
)

// Who asks is told when the peer answers no more, long before the connection is given up.
func TestReports(t *testing.T) {
	eachWay(t, func(t *testing.T, addr string, queues int) {
		p := newPair(t, queues)
		c, _ := p.connect(addr)
		reports := c.Reports()
		if c.Reports() != reports {
			t.Error("a second call returns another channel")
		}
		p.ends[0].Close()
		if _, err := c.Write([]byte("is anybody there")); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		<-reports
		if i := c.Info(); i.Retries != 3 || i.SoftError != nil || i.Urgent != 0 {
			t.Errorf("after %v: %d retries, soft error %v, %d urgent bytes", time.Since(start), i.Retries, i.SoftError, i.Urgent)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		select {
		case <-c.Reports():
			t.Error("a closed connection reports something")
		default:
		}
	})
}
