package stack_test

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"
)

func TestConn(t *testing.T) {
	for family, addr := range families {
		t.Run(family, func(t *testing.T) {
			for _, queues := range []int{1, 2, 4} {
				nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
					p := newPair(t, queues, noDelay, noDelay)
					client, server := p.connect(addr)
					return client, server, func() {
						p.client.Close()
						p.server.Close()
					}, nil
				})
			}
		})
	}
}
