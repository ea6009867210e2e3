package admission

import (
	"fmt"
	"math"
	"math/bits"
	"runtime"
	"runtime/debug"
	"sync"

	"github.com/f3f4c0de/harness/internal/core"
)

// Workers returns how many workers cfg asks for.
func Workers(cfg core.Config) int {
	if cfg.Workers > 0 {
		return cfg.Workers
	}
	return runtime.GOMAXPROCS(0)
}

// ResizeError returns the error of Resize(n) on the named backend, which can have up to
// most workers, or, if most is 0, any number of at least 1.
func ResizeError(backend string, n, most int) error {
	if most > 0 {
		return fmt.Errorf("cannot resize to %d workers: %s can have 1 to %d", n, backend, most)
	}
	return fmt.Errorf("cannot resize to %d workers: %s needs at least 1", n, backend)
}

// A Need is how much one worker takes, at least, of each bounded resource.
type Need struct {
	memory  int64 // bytes
	threads int64 // of this process
	tasks   int64 // processes and threads of the system
	files   int64 // descriptors of this process
}

// The needs of the kinds of workers.
var (
	Goroutine = Need{memory: 4 << 10}
	Thread    = Need{memory: 16 << 10, threads: 1, tasks: 1}
	Process   = Need{memory: 10 << 20, tasks: 6, files: 6}
)

// A limit is how much is left of a bounded resource.
type limit struct {
	what string // for an error: "the Go runtime ends a program that has more than 10000 threads"
	left int64
	of   func(Need) int64 // how much a worker needs of the resource
}

func ofMemory(n Need) int64  { return n.memory }
func ofThreads(n Need) int64 { return n.threads }
func ofTasks(n Need) int64   { return n.tasks }
func ofFiles(n Need) int64   { return n.files }

// unchecked is how many more workers Afford grants without reading the limits, which
// takes up to a millisecond.
const unchecked = 64

// Afford returns an error that names the limit if an executor of the named backend
// that has have workers cannot have asked workers with the need each. Limits that
// cannot be read are ignored, so starting workers may still fail.
func Afford(backend string, have, asked int, each Need) error {
	if asked-have <= unchecked && each.files == 0 {
		return nil
	}
	return affordOf(limits(), backend, have, asked, each)
}

// AffordOne is Afford for one worker more than there are, and always reads the limits.
func AffordOne(backend string, have int, each Need) error {
	return affordOf(limits(), backend, have, have+1, each)
}

func affordOf(limits []limit, backend string, have, asked int, each Need) error {
	most, why := int64(math.MaxInt64), ""
	for _, l := range limits {
		if n := l.of(each); n > 0 && max(0, l.left)/n < most {
			most, why = max(0, l.left)/n, l.what
		}
	}
	if int64(asked)-int64(have) <= most {
		return nil
	}
	return fmt.Errorf("%s cannot have %d workers: %s, which leaves room for %d", backend, asked, why, int64(have)+most)
}

// spareThreads are left to the rest of the program: to calls that block, and to
// the runtime.
const spareThreads = 100

// limits returns what is known to bound the workers.
func limits() []limit {
	most := maxThreads()
	known := []limit{
		{"the addresses of a process end", 1 << min(47, bits.UintSize-1), ofMemory},
		{fmt.Sprintf("the Go runtime ends a program that has more than %d threads (debug.SetMaxThreads)", most), most - threads() - spareThreads, ofThreads},
	}
	return append(known, systemLimits()...)
}

var settingThreads sync.Mutex

// maxThreads returns the number of threads above which the runtime ends the program.
// The runtime returns it only when it is set.
func maxThreads() int64 {
	settingThreads.Lock()
	defer settingThreads.Unlock()
	most := debug.SetMaxThreads(math.MaxInt32)
	debug.SetMaxThreads(most)
	return int64(most)
}

// threads returns how many threads the runtime has made that have not ended.
func threads() int64 {
	n, _ := runtime.ThreadCreateProfile(nil)
	return int64(n)
}
