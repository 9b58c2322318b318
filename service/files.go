package service

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"syscall"
)

// files serves the directory dir, which stays open until the returned root is closed.
func files(dir string) (http.Handler, *os.Root, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("http: root: %w: name a directory that tcpd may read", err)
	}
	serve := http.FileServerFS(tree{root})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "405 method not allowed", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		serve.ServeHTTP(w, r)
	}), root, nil
}

// tree is the part of a directory tree that may be served: regular files, and directories with an index.html.
type tree struct{ root *os.Root }

// Open implements fs.FS. It fails with fs.ErrPermission, with an error of the machine, or else with fs.ErrNotExist: why a
// path is not served is nobody's business.
func (t tree) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	// Without O_NONBLOCK, opening a FIFO waits for its writer.
	f, err := t.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err == nil {
		var served fs.File
		if served, err = t.served(f, name); err == nil {
			return served, nil
		}
		_ = f.Close()
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: publicError(err)}
}

// served returns what may be served of an open file. A directory has nothing but its name: net/http lists one whose index it cannot
// open, also when that fails for a moment.
func (t tree) served(f *os.File, name string) (fs.File, error) {
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.Mode().IsRegular():
		return f, nil
	case !info.IsDir():
		return nil, fs.ErrNotExist
	}
	index, err := t.Open(path.Join(name, "index.html"))
	if err != nil {
		return nil, err
	}
	return struct{ fs.File }{f}, index.Close()
}

func publicError(err error) error {
	switch {
	case isAny(err, syscall.EMFILE, syscall.ENFILE, syscall.EIO, syscall.ENOMEM):
		return err
	case errors.Is(err, fs.ErrPermission):
		return fs.ErrPermission
	}
	return fs.ErrNotExist
}
