//go:build !linux

package inproc

// threadID returns 0: the id of an OS thread is not available here.
func threadID() int { return 0 }
