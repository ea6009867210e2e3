package inproc

import "syscall"

// threadID returns the id of the OS thread that the caller runs on.
func threadID() int { return syscall.Gettid() }
