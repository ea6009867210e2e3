package machine

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
)

// Measure measures what the checks need to know about this machine and this
// process. It takes a second, during which it is idle. The caller sets Capacity and
// Receivers, which need other processes and the network. If ctx ends, Measure
// returns early, and its measurements must not be used.
func Measure(ctx context.Context) Facts {
	f := Facts{
		NumCPU: runtime.NumCPU(), GOMAXPROCS: runtime.GOMAXPROCS(0), Others: others(ctx),
		FreeBytes: freeBytes("."), TempBytes: freeBytes(os.TempDir()), Sleeps: make(map[time.Duration]time.Duration),
	}
	for _, d := range []time.Duration{50 * time.Microsecond, 200 * time.Microsecond, 500 * time.Microsecond} {
		const n = 5
		start := time.Now()
		for range n {
			pause(ctx, d)
		}
		f.Sleeps[d] = time.Since(start) / n
	}
	f.Build, _ = debug.ReadBuildInfo()
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		f.OpenFiles = limit.Cur
	}
	return f
}

// freeBytes returns the free space in a folder, -1 if that is unknown.
func freeBytes(dir string) int64 {
	var fs syscall.Statfs_t
	if syscall.Statfs(dir, &fs) != nil {
		return -1
	}
	return int64(fs.Bavail) * int64(fs.Bsize) //nolint:unconvert // of another type on other systems
}

// others returns how many processors other programs use now, -1 if that is unknown.
func others(ctx context.Context) float64 {
	before, err := This.ReadLoad()
	own, err2 := OwnCPU()
	if err != nil || err2 != nil {
		return -1
	}
	pause(ctx, time.Second)
	after, err := This.ReadLoad()
	ownAfter, err2 := OwnCPU()
	if err != nil || err2 != nil {
		return -1
	}
	used := after.Busy - before.Busy - (ownAfter - own)
	return max(0, float64(used)/float64(after.At.Sub(before.At)))
}

// pause waits for a time, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
