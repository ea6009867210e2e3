package backends

import (
	"fmt"
	"math"
	"math/bits"
	"runtime"
	"runtime/debug"
	"sync"
)

// A need is what one worker takes, at least, of what is bounded.
type need struct {
	memory  int64 // bytes
	threads int64 // of this process
	tasks   int64 // processes and threads, of whichever process
	files   int64 // descriptors of this process
}

// What workers need.
var (
	goroutineNeed = need{memory: 4 << 10}
	threadNeed    = need{memory: 16 << 10, threads: 1, tasks: 1}
	processNeed   = need{memory: 10 << 20, tasks: 6, files: 6}
)

// A limit is what is left of something that is bounded.
type limit struct {
	what string // as an error says it: "the Go runtime ends a program that has more than 10000 threads"
	left int64
	of   func(need) int64 // what it bounds
}

func ofMemory(n need) int64  { return n.memory }
func ofThreads(n need) int64 { return n.threads }
func ofTasks(n need) int64   { return n.tasks }
func ofFiles(n need) int64   { return n.files }

// few is how many workers are had without looking at the limits, which takes up to
// a millisecond.
const few = 64

// afford returns an error that names the limit if an executor that has some workers
// cannot have as many as it is asked for. What is not known is no limit, so starting
// workers may still fail.
func afford(backend string, have, asked int, each need) error {
	if asked-have <= few && each.files == 0 {
		return nil
	}
	return affordOf(limits(), backend, have, asked, each)
}

func affordOf(limits []limit, backend string, have, asked int, each need) error {
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

// maxThreads returns with how many threads the runtime ends the program. That can
// only be read by setting it.
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
