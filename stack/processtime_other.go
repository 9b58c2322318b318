//go:build !unix

package stack

import "time"

// processTime is not known here: the processors never count as busy.
func processTime() time.Duration { return 0 }
