package workloads

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// An alarm is a timer of the system. A goroutine can wait for it as for a connection.
type alarm struct {
	fd   int
	file *os.File // of fd
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making a timer: %w", err)
	}
	return &alarm{fd, os.NewFile(uintptr(fd), "timer")}, nil
}

// wait waits for d. It blocks neither a thread nor a processor.
func (a *alarm) wait(d time.Duration) error {
	if err := unix.TimerfdSettime(a.fd, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil); err != nil {
		return fmt.Errorf("setting a timer: %w", err)
	}
	var expirations [8]byte
	_, err := a.file.Read(expirations[:])
	return err
}

// alarms holds unused alarms, at most as many as were once in use at the same time.
var alarms struct {
	mu   sync.Mutex
	free []*alarm
}

// sleepExactly sleeps by a timer of the system, which is exact to about 50 µs. A timer of
// the Go runtime may be a millisecond late in an idle process. A system call that sleeps
// would be wrong, too: it keeps its processor until the runtime notices, which can take as
// long as the sleep, so no more goroutines than processors could sleep at a time.
func sleepExactly(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	alarms.mu.Lock()
	var a *alarm
	if n := len(alarms.free); n > 0 {
		a, alarms.free = alarms.free[n-1], alarms.free[:n-1]
	}
	alarms.mu.Unlock()
	if a == nil {
		var err error
		if a, err = newAlarm(); err != nil {
			return err
		}
	}
	if err := a.wait(d); err != nil {
		return errors.Join(err, a.file.Close())
	}
	alarms.mu.Lock()
	alarms.free = append(alarms.free, a)
	alarms.mu.Unlock()
	return nil
}
