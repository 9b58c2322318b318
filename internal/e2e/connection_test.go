package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// TestShortConnections makes 1,000 connections that exchange one message and close, 100 at a time.
func TestShortConnections(t *testing.T) {
	ns := newNamespace(t, "1,000 short connections, 100 at a time")
	start(t, ns, settings{services: []string{echoService}})
	const total, concurrent = 1000, 100
	began := time.Now()
	numbers := make(chan int)
	failures := make(chan error, total)
	var workers sync.WaitGroup
	for range concurrent {
		workers.Go(func() {
			for number := range numbers {
				if err := shortConnection(ns, number); err != nil {
					failures <- fmt.Errorf("connection %d: %w", number, err)
				}
			}
		})
	}
	for number := range total {
		numbers <- number
	}
	close(numbers)
	workers.Wait()
	close(failures)
	t.Logf("%d connections, %d at a time: %v", total, concurrent, time.Since(began).Round(time.Millisecond))
	reportFew(t, failures)
}

// reportFew reports the first few of many failures that are probably alike.
func reportFew(t *testing.T, failures <-chan error) {
	t.Helper()
	seen := 0
	for err := range failures {
		if seen++; seen <= 10 {
			t.Error(err)
		}
	}
	if seen > 10 {
		t.Errorf("and %d more failures", seen-10)
	}
}

func shortConnection(ns *namespace, number int) error {
	conn, err := ns.dial(address(families[number%2].host, 7))
	if err != nil {
		return err
	}
	defer conn.Close()
	message := fmt.Sprintf("message %d", number)
	if _, err := conn.Write([]byte(message)); err != nil {
		return err
	}
	answer := make([]byte, len(message))
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != message {
		return fmt.Errorf("%q came back as %q: %w", message, answer, err)
	}
	if number%3 == 0 {
		return nil // the client closes both directions at once
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	if n, err := conn.Read(answer); err != io.EOF {
		return fmt.Errorf("after the end of our direction came %q (%v), want the end", answer[:n], err)
	}
	return nil
}

// TestHalfClose ends one direction and goes on in the other, from either side.
func TestHalfClose(t *testing.T) {
	ns := newNamespace(t, "half-closed connections")
	const size = 16 * miB
	heard := make(chan error, 1)
	clientFirst := backend(t, ns, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		if _, err := io.Copy(io.Discard, conn); err == nil {
			send(conn, 7, size)
		}
	})
	serviceFirst := backend(t, ns, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		conn.Write([]byte("over to you"))
		conn.(*net.TCPConn).CloseWrite()
		heard <- check(conn, 8, size)
	})
	start(t, ns, settings{services: []string{
		proxyService("client-first", 8003, clientFirst.Addr().String()),
		proxyService("service-first", 8004, serviceFirst.Addr().String()),
	}})
	for _, family := range families {
		t.Run("client first over "+family.name, func(t *testing.T) {
			conn := ns.connect(t, address(family.host, 8003))
			conn.Write([]byte("question"))
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if err := check(conn, 7, size); err != nil {
				t.Errorf("reading after our end: %v", err)
			}
		})
		t.Run("service first over "+family.name, func(t *testing.T) {
			conn := ns.connect(t, address(family.host, 8004))
			if text, err := io.ReadAll(conn); err != nil || string(text) != "over to you" {
				t.Fatalf("got %q (%v), want the service's words and the end of its direction", text, err)
			}
			if err := errors.Join(send(conn, 8, size), conn.CloseWrite()); err != nil {
				t.Fatalf("sending after the service's end: %v", err)
			}
			if err := next(t, heard, "the end of our direction at the service"); err != nil {
				t.Errorf("what the service heard: %v", err)
			}
		})
	}
}

// TestStalledReader: a client does not read until our send direction is full to the last buffer, and then reads it all.
func TestStalledReader(t *testing.T) {
	t.Parallel()
	for _, family := range families {
		t.Run(family.name, func(t *testing.T) {
			t.Parallel()
			ns := newNamespace(t, "a client that stalls and resumes, over "+family.name)
			const size = 128 * miB // more than all buffers between the backend and the client
			source := make(chan *counted, 1)
			l := backend(t, ns, "tcp", "127.0.0.1:0", func(conn net.Conn) {
				c := &counted{Conn: conn}
				source <- c
				send(c, 9, size)
			})
			start(t, ns, settings{services: []string{proxyService("source", sourcePort, l.Addr().String())}})
			conn := ns.connect(t, address(family.host, sourcePort))
			written := &next(t, source, "the backend's connection").written
			waitStill(t, "the backend", written)
			t.Logf("the buffers hold %d KiB", written.Load()/kiB)
			time.Sleep(3 * time.Second) // the stall: long enough for several window probes
			if n := written.Load(); n >= size {
				t.Fatalf("%d bytes were taken from the backend while the client read nothing", n)
			}
			if err := check(conn, 9, size); err != nil {
				t.Errorf("after the stall: %v", err)
			}
		})
	}
}

// TestStalledService: a backend does not read until our receive direction is full, and then reads it all.
func TestStalledService(t *testing.T) {
	t.Parallel()
	for _, family := range families {
		t.Run(family.name, func(t *testing.T) {
			t.Parallel()
			ns := newNamespace(t, "a service that stalls and resumes, over "+family.name)
			const size = 128 * miB
			resume := make(chan struct{})
			l := backend(t, ns, "tcp", "127.0.0.1:0", func(conn net.Conn) {
				<-resume
				judge(conn, 10, size)
			})
			start(t, ns, settings{services: []string{proxyService("sink", sinkPort, l.Addr().String())}})
			conn := &counted{Conn: ns.connect(t, address(family.host, sinkPort))}
			sent := make(chan error, 1)
			go func() { sent <- send(conn, 10, size) }()
			waitStill(t, "the client", &conn.written)
			t.Logf("the buffers hold %d KiB", conn.written.Load()/kiB)
			time.Sleep(3 * time.Second) // the stall: long enough for several of the kernel's window probes
			if n := conn.written.Load(); n >= size {
				t.Errorf("%d bytes were taken from the client while the service read nothing", n)
			}
			close(resume)
			if err := errors.Join(next(t, sent, "the end of sending"), conn.Conn.(*net.TCPConn).CloseWrite()); err != nil {
				t.Fatalf("sending: %v", err)
			}
			if verdict, err := io.ReadAll(conn); err != nil || string(verdict) != whole {
				t.Errorf("the service says %q (%v)", verdict, err)
			}
		})
	}
}
