package service

import (
	"testing"
	"testing/synctest"
	"time"
)

// virtualRelay runs a relay in memory; result gives its reason.
func virtualRelay(halfClose time.Duration) (client, backend *linePipe, inner [2]*linePipe, result chan Reason) {
	client, nearClient := newLinePipe()
	backend, nearBackend := newLinePipe()
	result = make(chan Reason, 1)
	go func() { result <- newRelay(nearClient, nearBackend, halfClose, nil).run() }()
	return client, backend, [2]*linePipe{nearClient, nearBackend}, result
}

func wantAborted(t *testing.T, inner [2]*linePipe) {
	t.Helper()
	if !inner[0].aborted.Load() || !inner[1].aborted.Load() {
		t.Error("both connections must end with RST")
	}
}

func TestHalfCloseTimeoutCountsQuietOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, backend, inner, result := virtualRelay(time.Hour)
		_ = client.CloseWrite()
		wantEOF(t, backend, "FIN is carried")
		for range 5 {
			time.Sleep(50 * time.Minute)
			say(t, backend, "tick")
			wantText(t, client, "tick")
		}
		quiet := time.Now()
		if r := <-result; r != HalfCloseTimeout || time.Since(quiet) != time.Hour {
			t.Errorf("ended with %v after %v of quiet, want %v after an hour", r, time.Since(quiet), HalfCloseTimeout)
		}
		wantAborted(t, inner)
	})
}

// Somebody who takes what he is sent slowly is not quiet, however much of it comes at once.
func TestHalfCloseTimeout_slowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, backend, _, result := virtualRelay(time.Second)
		_ = client.CloseWrite()
		wantEOF(t, backend, "FIN is carried")
		const size = 1 << 20
		go func() {
			_, _ = backend.Write(make([]byte, size))
			_ = backend.CloseWrite()
		}()
		n, b := 0, make([]byte, 8<<10)
		for {
			k, err := client.Read(b)
			if n += k; err != nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if r := <-result; n != size || r != Finished {
			t.Errorf("%d of %d bytes came, ended with %v", n, size, r)
		}
	})
}

func TestAQuietRelayIsNotTimedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, backend, inner, result := virtualRelay(time.Hour)
		time.Sleep(1000 * time.Hour)
		say(t, client, "still here")
		wantText(t, backend, "still here")
		_ = client.CloseWrite()
		_ = backend.CloseWrite()
		if r := <-result; r != Finished || inner[0].aborted.Load() || inner[1].aborted.Load() {
			t.Errorf("ended with %v, want FIN both ways and no RST", r)
		}
	})
}

func TestDoneTellsOfAResetAfterFIN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, backend, inner, result := virtualRelay(time.Hour)
		_ = client.CloseWrite()
		wantEOF(t, backend, "FIN is carried")
		began := time.Now()
		close(inner[0].over)
		if r := <-result; r != ClientReset || time.Since(began) != 0 {
			t.Errorf("ended with %v after %v, want %v at once", r, time.Since(began), ClientReset)
		}
		wantAborted(t, inner)
	})
}

func TestABrokenConnectionWithNothingLeftIsGivenUpAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, nearClient := newLinePipe()
		backend, nearBackend := newLinePipe()
		result := make(chan Reason, 1)
		go func() { result <- newRelay(nearClient, nearBackend, time.Hour, nil).run() }()
		_ = backend.CloseWrite()
		wantEOF(t, client, "FIN is carried")
		nearBackend.broken.Store(true)
		began := time.Now()
		say(t, client, "x")
		if r := <-result; r != BackendReset || time.Since(began) != 0 {
			t.Errorf("ended with %v after %v, want %v at once", r, time.Since(began), BackendReset)
		}
		wantAborted(t, [2]*linePipe{nearClient, nearBackend})
	})
}

// Linux tells of a RST once. If a Write is told, the Read beside it gets EOF, which must not become a FIN.
func TestRelayMakesNoFINOfAnEOFAfterAFailedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, nearClient := newLinePipe()
		backend, nearBackend := newLinePipe()
		nearBackend.broken.Store(true)
		result := make(chan Reason, 1)
		go func() { result <- newRelay(nearClient, nearBackend, time.Hour, nil).run() }()
		say(t, client, "x")
		synctest.Wait()
		say(t, backend, "last words")
		wantText(t, client, "last words")
		_ = backend.CloseWrite()
		if r := <-result; r != BackendReset || nearClient.finished.Load() {
			t.Errorf("ended with %v, FIN sent to the client: %v; want %v and no FIN", r, nearClient.finished.Load(), BackendReset)
		}
		wantAborted(t, [2]*linePipe{nearClient, nearBackend})
	})
}

func TestABrokenConnectionIsGivenUpEvenIfTheOtherDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, nearClient := newLinePipe()
		backend, nearBackend := newLinePipe()
		nearBackend.broken.Store(true)
		result := make(chan Reason, 1)
		go func() { result <- newRelay(nearClient, nearBackend, time.Hour, nil).run() }()
		go func() { _, _ = backend.Write([]byte("an answer that nobody reads")) }()
		say(t, client, "x")
		began := time.Now()
		if r := <-result; r != BackendReset || time.Since(began) != salvageTime {
			t.Errorf("ended with %v after %v, want %v after %v", r, time.Since(began), BackendReset, salvageTime)
		}
		wantAborted(t, [2]*linePipe{nearClient, nearBackend})
	})
}

// Nor is somebody quiet who was taking much at once when the other side's FIN came.
func TestHalfCloseTimeout_slowReaderBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, backend, _, result := virtualRelay(time.Second)
		const size = 400 << 10
		go func() {
			_, _ = backend.Write(make([]byte, size))
			_ = backend.CloseWrite()
		}()
		b := make([]byte, 8<<10)
		n, fin := 0, false
		for {
			k, err := client.Read(b)
			if n += k; err != nil {
				break
			}
			if n > 64<<10 && !fin {
				fin = true
				_ = client.CloseWrite()
			}
			if fin {
				time.Sleep(100 * time.Millisecond) // 80 kB a second
			}
		}
		if r := <-result; n != size || r != Finished {
			t.Errorf("%d of %d bytes came, ended with %v", n, size, r)
		}
	})
}
