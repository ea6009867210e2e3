//go:build unix

package results

import (
	"errors"
	"os"
	"syscall"
)

// lock locks the folder for this process until the returned file is closed.
func lock(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errors.New("another harness is writing to it")
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
