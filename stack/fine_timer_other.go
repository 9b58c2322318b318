//go:build !linux

package stack

import "errors"

func newFineTimer(func()) (fineTimer, error) { return nil, errors.ErrUnsupported }
