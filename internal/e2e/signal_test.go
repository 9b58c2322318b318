package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// cut is what a client must find when the daemon ended before its stream did: a reset, never an end that looks well.
func cut(err error) error {
	if errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return fmt.Errorf("a stream that was cut ended with %w, want connection reset", err)
}

// readAll reads until something ends the stream, and returns it.
func readAll(conn net.Conn) error {
	if _, err := io.Copy(io.Discard, struct{ io.Reader }{conn}); err != nil {
		return err
	}
	return io.EOF
}

// TestTerminate: SIGTERM lets streams end that end in time and resets the others.
func TestTerminate(t *testing.T) {
	t.Parallel()
	for _, family := range families {
		t.Run(family.name, func(t *testing.T) {
			t.Parallel()
			ns := newNamespace(t, "SIGTERM under load over "+family.name)
			draining := make(chan struct{})
			d := startBusy(t, ns, draining)
			streams := busyStreams(t, ns, family.host)
			stalled := ns.connect(t, address(family.host, 8005))
			d.signal(t, syscall.SIGTERM)
			began := time.Now()
			eventually(t, hung/2, "new connections are refused", func() bool {
				conn, err := ns.dial(address(family.host, 7))
				if err == nil {
					conn.Close()
				}
				return errors.Is(err, syscall.ECONNREFUSED)
			})
			close(draining)
			for name, ended := range streams {
				if err := next(t, ended, "the end of "+name); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			d.wantExit(t, 0)
			t.Logf("ended %v after SIGTERM, with a drain of 3s", time.Since(began).Round(time.Millisecond))
			if err := cut(readAll(stalled)); err != nil {
				t.Errorf("a client that did not read: %v", err)
			}
			if d.notify.count("STOPPING=1") == 0 {
				t.Error("the daemon never said STOPPING=1")
			}
		})
	}
}

// startBusy starts a daemon with a stream that ends once draining is closed, and others that never do.
func startBusy(t *testing.T, ns *namespace, draining <-chan struct{}) *daemon {
	t.Helper()
	ending := backend(t, ns, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		data := content(11, 32*miB)
		io.CopyN(conn, data, 16*miB)
		<-draining
		io.Copy(conn, data)
	})
	endless := backend(t, ns, "tcp", "127.0.0.1:0", func(conn net.Conn) { send(conn, 12, 1<<62) })
	reader := backend(t, ns, "tcp", "127.0.0.1:0", func(conn net.Conn) { io.Copy(io.Discard, conn) })
	return start(t, ns, settings{drain: "3s", services: []string{
		echoService,
		proxyService("ending", 8003, ending.Addr().String()),
		proxyService("reader", 8004, reader.Addr().String()),
		proxyService("endless", 8005, endless.Addr().String()),
	}})
}

// busyStreams opens one stream of each kind and returns for each the channel that tells how its end was wrong.
func busyStreams(t *testing.T, ns *namespace, host string) map[string]<-chan error {
	t.Helper()
	streams := map[string]<-chan error{}
	open := func(name string, port int, use func(*net.TCPConn) error) {
		conn, ended := ns.connect(t, address(host, port)), make(chan error, 1)
		streams[name] = ended
		go func() { ended <- use(conn) }()
	}
	open("a stream that ends during the drain", 8003, func(conn *net.TCPConn) error {
		return check(conn, 11, 32*miB)
	})
	open("an idle connection", 7, func(conn *net.TCPConn) error {
		_, err := conn.Read(make([]byte, 1))
		return cut(err)
	})
	open("an endless upload", 8004, func(conn *net.TCPConn) error {
		return cut(send(conn, 13, 1<<62))
	})
	open("an endless download", 8005, func(conn *net.TCPConn) error {
		return cut(readAll(conn))
	})
	return streams
}

// TestTerminateEarly: SIGTERM ends the daemon well however far its start has come.
func TestTerminateEarly(t *testing.T) {
	ns := newNamespace(t, "SIGTERM right after start")
	appeared := func() bool { _, err := ns.device("tcp0"); return err == nil }
	launch := func() *daemon {
		d := prepare(t, ns)
		d.configureText(t, settings{services: []string{echoService}}.yaml(d.dir))
		d.launch(t, builtBinary(t), "--tun", "tcp0", "--config", d.config)
		return d
	}
	for _, delay := range []time.Duration{0, 5, 10, 20, 40, 80} {
		d := launch()
		time.Sleep(delay * time.Millisecond) // which moment of the start it hits is what varies
		began := appeared()
		d.signal(t, syscall.SIGTERM)
		select {
		case <-d.ended:
		case <-time.After(hung / 2):
			t.Fatalf("SIGTERM %d ms after start does not end the daemon", delay)
		}
		status := d.cmd.ProcessState.Sys().(syscall.WaitStatus)
		unhandled := status.Signaled() && status.Signal() == syscall.SIGTERM && !began // before the program could ask for signals
		if !d.cmd.ProcessState.Success() && !unhandled {
			t.Errorf("SIGTERM %d ms after start: %v, want exit status 0", delay, d.cmd.ProcessState)
		}
	}
	d := launch()
	eventually(t, hung/2, "tcp0 appears", appeared)
	d.signal(t, syscall.SIGTERM)
	d.wantExit(t, 0)
	if appeared() {
		t.Error("tcp0 is still there after the daemon ended")
	}
}

// TestReload: SIGHUP takes over a changed file and leaves every live connection alone, also those of a removed service. A
// broken file changes nothing and its mistake is logged.
func TestReload(t *testing.T) {
	ns := newNamespace(t, "SIGHUP under load")
	const removed, added = 1007, 2007
	service := func(port int) string {
		return fmt.Sprintf(`{name: echo%d, listen: ":%d", echo: {}}`, port, port)
	}
	d := start(t, ns, settings{services: []string{echoService, service(removed)}})
	load := runLoad(t, ns, address("10.77.0.2", 7), address("fd77::2", 7), address("10.77.0.2", removed), address("fd77::2", removed))
	load.progress(t)

	d.configure(t, settings{services: []string{echoService, service(added)}})
	d.signal(t, syscall.SIGHUP)
	wantServed(t, ns, added, true)
	wantServed(t, ns, removed, false)
	load.progress(t)

	d.configureText(t, "services:\n  - {name: echo, listen: \":7\", ecko: {}}\n")
	d.signal(t, syscall.SIGHUP)
	d.wantLog(t, 0, filepath.Base(d.config)+":2", "ecko")
	for _, port := range []int{7, added} {
		wantServed(t, ns, port, true)
	}
	load.progress(t)

	for i := range 20 { // reloads in a row, with a service that comes and goes
		d.configure(t, settings{services: []string{echoService, service(added + i%2)}})
		d.signal(t, syscall.SIGHUP)
	}
	d.configure(t, settings{services: []string{echoService, service(removed)}})
	d.signal(t, syscall.SIGHUP)
	wantServed(t, ns, removed, true)
	wantServed(t, ns, added, false)
	load.progress(t)
	load.stop(t)
}

// wantServed waits until both families of a port are served, or refused.
func wantServed(t *testing.T, ns *namespace, port int, served bool) {
	t.Helper()
	for _, family := range families {
		what := fmt.Sprintf("%s port %d served: %v", family.name, port, served)
		eventually(t, hung/2, what, func() bool {
			conn, err := ns.dial(address(family.host, port))
			if err != nil {
				return !served && errors.Is(err, syscall.ECONNREFUSED)
			}
			defer conn.Close()
			return served && echo(conn, 14, 1000) == nil
		})
	}
}

// TestStopped: a daemon that gets no CPU for a while loses no connection.
func TestStopped(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t, "SIGSTOP and SIGCONT under load")
	d := start(t, ns, settings{services: []string{echoService}})
	load := runLoad(t, ns, address("10.77.0.2", 7), address("fd77::2", 7))
	load.progress(t)
	d.signal(t, syscall.SIGSTOP)
	time.Sleep(3 * time.Second) // the fault
	d.signal(t, syscall.SIGCONT)
	load.progress(t)
	load.stop(t)
}

// TestKilled: a crash loses connections loudly. The next daemon resets what it does not know.
func TestKilled(t *testing.T) {
	ns := newNamespace(t, "a restart after kill -9")
	ns.run(t, "ip", "tuntap", "add", "dev", "tcp0", "mode", "tun")
	d := start(t, ns, settings{services: []string{echoService}})
	var conns []*net.TCPConn
	for _, family := range families {
		conn := ns.connect(t, address(family.host, 7))
		if err := exchange(conn); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	d.signal(t, syscall.SIGKILL)
	next(t, d.ended, "the end of a killed daemon")
	start(t, ns, settings{services: []string{echoService}})
	for _, conn := range conns {
		if err := exchange(conn); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%v after a crash and a restart: %v, want connection reset", conn.RemoteAddr(), err)
		}
	}
}

// exchange sends a few bytes to an echo service and waits for them.
func exchange(conn net.Conn) error {
	message := []byte("still there?")
	if _, err := conn.Write(message); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, message)
	return err
}

// TestDescriptorLimit: without descriptors for more backends the daemon refuses clients, and serves them again afterwards.
func TestDescriptorLimit(t *testing.T) {
	ns := newNamespace(t, "exhausted file descriptors")
	l := backend(t, ns, "tcp", "127.0.0.1:0", func(conn net.Conn) { io.Copy(conn, conn) })
	d := prepare(t, ns)
	d.configure(t, settings{services: []string{echoService, proxyService("app", 8080, l.Addr().String())}})
	shell := `ulimit -n 64 && exec "$0" "$@"`
	d.launch(t, "sh", "-c", shell, builtBinary(t), "--tun", "tcp0", "--config", d.config)
	d.waitReady(t)
	var conns []net.Conn
	for len(conns) < 200 {
		conn, err := ns.dial("10.77.0.2:8080")
		if err != nil {
			break
		}
		conns = append(conns, conn)
	}
	t.Logf("%d proxied connections with 64 file descriptors", len(conns))
	if len(conns) == 0 || len(conns) >= 200 {
		t.Errorf("%d proxied connections fitted into 64 file descriptors", len(conns))
	}
	if err := shortConnection(ns, 1); err != nil {
		t.Errorf("a service that needs no descriptor: %v", err)
	}
	d.wantLog(t, 0, `"level":"error"`, "no file descriptors left")
	for range 4 { // at a time would be too many for what is left
		ns.run(t, builtBinary(t), "status", "--config", d.config)
	}
	for _, conn := range conns {
		conn.Close()
	}
	eventually(t, hung/2, "proxied connections work again", func() bool {
		conn, err := ns.dial("10.77.0.2:8080")
		if err != nil {
			return false
		}
		defer conn.Close()
		return exchange(conn) == nil
	})
}

// TestLogReaderGone: when nobody reads the log any more, the daemon goes on without.
func TestLogReaderGone(t *testing.T) {
	ns := newNamespace(t, "a log whose reader is gone")
	d := prepare(t, ns)
	d.configure(t, settings{services: []string{echoService}})
	pipe := filepath.Join(d.dir, "log")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := syscall.Open(pipe, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	shell := fmt.Sprintf(`exec "$0" "$@" >%s 2>&1`, pipe)
	d.launch(t, "sh", "-c", shell, builtBinary(t), "--tun", "tcp0", "--config", d.config)
	d.waitReady(t)
	syscall.Close(reader)
	for reloads := 1; reloads <= 2; reloads++ { // the first one's log line would end the daemon, before the second
		d.signal(t, syscall.SIGHUP)
		eventually(t, hung/2, "the configuration is read again", func() bool {
			return d.notify.count("RELOADING=1") == reloads && d.notify.count("READY=1") == 1+reloads
		})
	}
	wantServed(t, ns, 7, true)
}
