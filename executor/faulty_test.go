package executor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
)

// The stages of a call at which a fault can be placed. The first and the last
// run in the submitter's process, those between in the worker's. Inside one
// process there is only the one in the middle.
const (
	encodeArgument = "encode argument"
	decodeArgument = "decode argument"
	running        = "run"
	encodeResult   = "encode result"
	decodeResult   = "decode result"
)

// The ways to fail that a fault can take by itself.
const (
	fails     = "error"
	panics    = "panic"
	goexits   = "Goexit"
	exits     = "exit"
	killed    = "signal"
	stops     = "stop"
	hangs     = "hang"
	exhausts  = "out of memory"
	overflows = "stack overflow"
)

// What is wrong with a value, for the codec to refuse it; deep it may carry.
const (
	formless = "no form"   // a channel
	deep     = "deep"      // nested more than any stack should follow
	huge     = "too large" // of a size that no message can have
)

// errStands is what a task reports that stood still and was moved again.
var errStands = errors.New("it stood still and went on")

// A fault is what goes wrong on the way of one argument to a worker and of its
// result back. The zero fault is none.
type fault struct {
	N     int64  // what the result is to show
	Stage string // where it goes wrong
	What  string // and how
	Mark  string // a file that is written when it does, with the process id
}

// at does what the fault says, if this is its stage. It is called in the
// process where the stage takes place.
func (f fault) at(ctx context.Context, stage string) error {
	if f.Stage != stage {
		return nil
	}
	if err := mark(f.Mark); err != nil {
		return err
	}
	switch f.What {
	case fails:
		return errMine
	case panics:
		panic("as the test wants it")
	case goexits:
		runtime.Goexit()
	case exits:
		os.Exit(3)
	case killed:
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		stand(nil)
	case stops:
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		stand(letGo(f.Mark)) // it may take a moment
		return errStands
	case hangs:
		if w := core.WorkerOf(ctx); w != nil && w.Queues == nil { // nobody could stop it here
			executor.Blocking(ctx, func() { <-ctx.Done() })
			return ctx.Err()
		}
		stand(letGo(f.Mark))
		return errStands
	case exhausts:
		n := uint64(1) << 47 // more than there are addresses
		runtime.KeepAlive(make([]byte, n))
	case overflows:
		debug.SetMaxStack(1 << 20)
		return fmt.Errorf("a stack without end ended at %d", deeper(1))
	}
	return nil
}

// deeper needs more stack than there is.
func deeper(n int) int {
	var frame [1024]byte
	if n < 0 { // it never comes to that
		return n
	}
	frame[n%len(frame)] = 1
	return deeper(n+1) + int(frame[(7*n)%len(frame)])
}

// stand waits until it is let go, for ever if that is nil. A timer that never
// fires keeps the runtime from taking the whole process for stuck.
func stand(let <-chan struct{}) {
	select {
	case <-let:
	case <-time.After(24 * time.Hour):
	}
}

// let has what a fault waits for that hangs in this process, by its mark.
var let struct {
	sync.Mutex
	ends map[string]chan struct{}
}

// letGo returns a channel that the test closes to end what hangs there.
func letGo(name string) chan struct{} {
	let.Lock()
	defer let.Unlock()
	if let.ends == nil {
		let.ends = make(map[string]chan struct{})
	}
	if let.ends[name] == nil {
		let.ends[name] = make(chan struct{})
	}
	return let.ends[name]
}

// mark writes the process id into a file, so that it is there as a whole.
func mark(name string) error {
	if name == "" {
		return nil
	}
	part := fmt.Sprint(name, ".", os.Getpid())
	if err := os.WriteFile(part, []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return err
	}
	return os.Rename(part, name)
}

// marked returns the process that wrote the mark, 0 if none has.
func marked(name string) int {
	b, err := os.ReadFile(name)
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(string(b))
	return pid
}

// stopped reports whether the process stands still, as far as this system tells.
func stopped(pid int) bool {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err != nil || strings.Contains(string(b), ") T ")
}

// outbound and inbound are faults that have encodings of their own, which go
// wrong: one with the argument, one with the result.
type (
	outbound fault
	inbound  fault
)

func (o outbound) MarshalBinary() ([]byte, error) {
	if err := fault(o).at(context.Background(), encodeArgument); err != nil {
		return nil, err
	}
	return json.Marshal(fault(o))
}

func (o *outbound) UnmarshalBinary(b []byte) error {
	if err := json.Unmarshal(b, (*fault)(o)); err != nil {
		return err
	}
	return fault(*o).at(context.Background(), decodeArgument)
}

func (i inbound) MarshalBinary() ([]byte, error) {
	if err := fault(i).at(context.Background(), encodeResult); err != nil {
		return nil, err
	}
	return json.Marshal(fault(i))
}

func (i *inbound) UnmarshalBinary(b []byte) error {
	if err := json.Unmarshal(b, (*fault)(i)); err != nil {
		return err
	}
	return fault(*i).at(context.Background(), decodeResult)
}

// A load is a value that the codec has to refuse, or to carry exactly if it is deep.
// The zero load is harmless.
type load struct {
	Any  any
	Huge immense
}

func newLoad(what string) (l load) {
	switch what {
	case formless:
		l.Any = make(chan int)
	case deep:
		for range 30_000 {
			l.Any = []any{l.Any}
		}
	case huge:
		l.Huge = true
	}
	return l
}

// An immense value has an encoding that no message can hold.
type immense bool

// MarshalBinary returns memory that is not there until somebody looks at it.
func (i immense) MarshalBinary() ([]byte, error) {
	if !i {
		return nil, nil
	}
	const n = 1<<30 + 2<<20
	return syscall.Mmap(-1, 0, n, syscall.PROT_READ, syscall.MAP_PRIVATE|syscall.MAP_ANON)
}

func (i *immense) UnmarshalBinary(b []byte) error { *i = len(b) > 0; return nil }

type (
	cargo struct {
		Fault outbound
		Load  load
	}
	yield struct {
		Fault inbound
		Load  load
	}
)

// handles returns what it is given, unless that has a fault.
var handles = executor.NewTask("executor.handles", func(ctx context.Context, c cargo) (yield, error) {
	y := yield{Fault: inbound(c.Fault)}
	if c.Fault.Stage == encodeResult {
		y.Load = newLoad(c.Fault.What)
	}
	return y, fault(c.Fault).at(ctx, running)
})

// newCargo makes an argument for it.
func newCargo(f fault) cargo {
	c := cargo{Fault: outbound(f)}
	if f.Stage == encodeArgument {
		c.Load = newLoad(f.What)
	}
	return c
}

var (
	// leaves ends its worker once a file is there, when it has long returned.
	leaves = executor.NewTask("executor.leaves", func(_ context.Context, file string) (int64, error) {
		go func() { // ends with the process
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for marked(file) == 0 {
				<-tick.C
			}
			os.Exit(3)
		}()
		return int64(os.Getpid()), nil
	})
	// parks tells in which process it runs, and stays until it is let go.
	parks = executor.NewTask("executor.parks", func(ctx context.Context, h holding) (int64, error) {
		if err := h.Started.Put(ctx, int64(os.Getpid())); err != nil {
			return 0, err
		}
		_, err := h.Release.Get(ctx)
		return int64(os.Getpid()), err
	})
	// severs closes a descriptor of the worker that it runs on: 3 is the end at
	// which that hears its submitter, 4 the one at which it speaks.
	severs = executor.NewTask("executor.severs", func(_ context.Context, fd int64) (int64, error) {
		return int64(os.Getpid()), syscall.Close(int(fd))
	})
)

// stillborn in the environment of a worker is what it does before it is one.
const stillborn = "EXECUTOR_TEST_STILLBORN"

// beStillborn does what a worker was told that is not to become one.
func beStillborn() {
	if what := os.Getenv(stillborn); what != "" {
		_ = fault{Stage: running, What: what}.at(context.Background(), running)
		os.Exit(4)
	}
}
