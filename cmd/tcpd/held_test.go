package main

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"tcpd/config"
	"tcpd/ip"
	"tcpd/stack"
	"tcpd/tun"
)

// TestForgedSYNsKeepNobodyOut: SYNs of sources that do not exist take the places of a proxy's handshakes, and whoever answers gets
// one of them.
func TestForgedSYNsKeepNobodyOut(t *testing.T) {
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	arrived := make(chan struct{}, 100)
	go func() {
		for {
			c, err := backend.Accept()
			if err != nil {
				return
			}
			arrived <- struct{}{}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	const places = 5
	file := filepath.Join(t.TempDir(), "tcpd.yaml")
	text := "services:\n- {name: p, listen: ':80', proxy: {to: '" + backend.Addr().String() + "', pending: 5}}\ncontrol: {socket: ''}\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	near, far := tun.NewMemory(c.Tun.MTU, 1, 1024)
	d := startDaemon(t, c, near, newLogger(io.Discard, "error", "json", false))
	for i := range 3 * places {
		if err := far.Write(0, forgedSYN(byte(i+1))); err != nil {
			t.Fatal(err)
		}
		<-arrived // the backend has answered for it
	}
	eventually(t, "no dial is pending", func() bool { return d.services.counts()[0].counts.Pending == 0 })
	eventually(t, "the oldest have made room", func() bool { return d.stack.Stats().HalfOpen == places })
	client, err := stack.New(stack.Config{Link: far, Addresses: []netip.Prefix{netip.MustParsePrefix("10.77.0.1/24")}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := client.Dial("tcp", "10.77.0.2:80")
	if err != nil {
		t.Fatalf("somebody who answers is kept out: %v", err)
	}
	wantEcho(t, conn, "hello")
	_ = conn.Close()
}

func forgedSYN(source byte) *ip.Outgoing {
	h := ip.Header{
		Src: ip.Addr4([4]byte{192, 0, 2, source}), Dst: ip.Addr4([4]byte{10, 77, 0, 2}), Protocol: ip.ProtocolTCP, PayloadLen: 20,
	}
	b := make([]byte, h.Len()+20)
	segment := b[h.Put(b):]
	binary.BigEndian.PutUint16(segment, 4000)
	binary.BigEndian.PutUint16(segment[2:], 80)
	binary.BigEndian.PutUint32(segment[4:], 1000)
	segment[12], segment[13] = 5<<4, 2
	binary.BigEndian.PutUint16(segment[14:], 65535)
	return &ip.Outgoing{Header: b, NetworkLen: h.Len(), Offload: ip.Offload{Checksum: ip.ChecksumPartial}}
}
