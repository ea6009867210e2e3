//go:build !linux

package ipc

import "os"

// memoryFile returns nil: a file that is only memory is not available here.
func memoryFile() *os.File { return nil }
