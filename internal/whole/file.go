// Package whole writes files that appear under their name only when all of them is there.
package whole

import (
	"errors"
	"os"
	"path/filepath"
)

// File is being written beside the place where it is to be, under a name of its own that begins with a dot and ends in
// .part. That is what a process that is killed leaves behind.
type File struct {
	*os.File
	path string
	done bool
}

// Create begins a file that is to be called path.
func Create(path string, mode os.FileMode) (*File, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*.part")
	if err != nil {
		return nil, named(err, path)
	}
	if err := f.Chmod(mode); err != nil {
		_ = f.Close()
		_ = os.Remove(f.Name())
		return nil, err
	}
	return &File{File: f, path: path}, nil
}

// named is err with the name that the file was to have: nobody knows the other.
func named(err error, path string) error {
	var of *os.PathError
	if errors.As(err, &of) {
		return &os.PathError{Op: "create", Path: path, Err: of.Err}
	}
	return err
}

// Commit makes what was written durable and gives it its name, in place of a file that has it now.
func (f *File) Commit() error {
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), f.path); err != nil {
		return err
	}
	f.done = true
	return nil
}

// Discard removes the file, unless it was committed. It is meant to be deferred.
func (f *File) Discard() {
	if !f.done {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}
}
