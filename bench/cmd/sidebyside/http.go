package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"sync/atomic"
)

// wrkSeconds is how long wrk measures: it knows whole seconds only.
const wrkSeconds = 1

const (
	requestKeeping = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
	requestClosing = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"
	answerBody     = "Hello, World!\n"
)

func keepAlive(l *load) (outcome, error) { return l.requests(requestKeeping) }

func requestPerConnection(l *load) (outcome, error) { return l.requests(requestClosing) }

// requests is the client for machines without wrk: a goroutine for each connection.
func (l *load) requests(request string) (outcome, error) {
	var answered, failed atomic.Uint64
	for range l.flows {
		go func() {
			for {
				conn, err := l.dial(portHTTP)
				if err == nil {
					err = ask(conn, request, &answered)
					conn.Close()
				}
				if err != nil {
					failed.Add(1)
				}
			}
		}()
	}
	n, o, err := l.window(answered.Load)
	o.Operations, o.Failed = n, failed.Load()
	return o, err
}

// ask sends requests until the server closes the connection.
func ask(conn net.Conn, request string, answered *atomic.Uint64) error {
	for b := make([]byte, 4096); ; answered.Add(1) {
		if _, err := io.WriteString(conn, request); err != nil {
			return err
		}
		for n := 0; !bytes.HasSuffix(b[:n], []byte(answerBody)); {
			more, err := conn.Read(b[n:])
			n += more
			if err != nil {
				return fmt.Errorf("after %d bytes of an answer: %w", n, err)
			}
		}
		if request == requestClosing {
			answered.Add(1)
			if _, err := conn.Read(b); err != io.EOF {
				return errors.New("the server did not close")
			}
			return nil
		}
	}
}

// findWrk returns wrk's path, or "".
func findWrk() string {
	path, err := exec.LookPath("wrk")
	if err != nil {
		return ""
	}
	return path
}

// wrkArguments are those for the same work as requests.
func (l *load) wrkArguments() []string {
	args := []string{"-t1", "-c", strconv.Itoa(l.flows), "-d", strconv.Itoa(wrkSeconds)}
	if l.mode == "http-close" {
		args = append(args, "-H", "Connection: close")
	}
	return append(args, "http://"+l.to.String()+"/")
}

var (
	wrkTotal  = regexp.MustCompile(`(?m)^\s*(\d+) requests in ([0-9.]+)s`)
	wrkErrors = regexp.MustCompile(`Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
	wrkStatus = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
)

// readWrk understands what wrk prints.
func readWrk(text string) (o outcome, err error) {
	m := wrkTotal.FindStringSubmatch(text)
	if m == nil {
		return o, fmt.Errorf("wrk says nothing of requests: %s", text)
	}
	if o.Operations, err = strconv.ParseUint(m[1], 10, 64); err != nil {
		return o, err
	}
	if o.Seconds, err = strconv.ParseFloat(m[2], 64); err != nil {
		return o, err
	}
	for _, pattern := range []*regexp.Regexp{wrkErrors, wrkStatus} {
		for i, s := range pattern.FindStringSubmatch(text) {
			if n, err := strconv.ParseUint(s, 10, 64); i > 0 && err == nil {
				o.Failed += n
			}
		}
	}
	return o, nil
}
