// Command prodcons has two producers and a consumer hand items over through a
// queue, on the execution model that is named:
//
//	go run ./examples/prodcons -backend processes
//	go run ./examples/prodcons -backend sequential -scale 1 -v
//
// Each producer puts 20 squares into the queue and waits half a second to one
// and a half after each; the consumer takes all 40 and waits half a second
// after each. One after the other, that takes a minute; side by side, about 20
// seconds. The waits are known beforehand, so the program prints what both
// should take beside what was measured. An item's latency is the time that it
// lies in the queue.
//
// With -pop the consumer does not wait for an item that is not there yet. That
// goes well as long as one task runs after the other, and fails as soon as they
// run side by side.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"time"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor"
)

const (
	producers = 2
	items     = 20 // of each
)

func main() {
	executor.Main(produce, consume)
	backend := flag.String("backend", cmp.Or(os.Getenv(executor.EnvBackend), "goroutines"), "execution `model`")
	scale := flag.Float64("scale", 0.1, "`factor` on all waits; 1 is a minute of them")
	pop := flag.Bool("pop", false, "take items without waiting for them")
	verbose := flag.Bool("v", false, "print every item")
	flag.Parse()

	if err := run(*backend, *scale, *pop, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "prodcons:", err)
		os.Exit(1)
	}
}

func run(backend string, scale float64, pop, verbose bool) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	second := time.Duration(scale * float64(time.Second))
	rng := rand.New(rand.NewPCG(7, 0))
	var waits [producers][]time.Duration
	for i := range waits {
		for range items {
			waits[i] = append(waits[i], second/2+time.Duration(rng.Float64()*float64(second)))
		}
	}

	ex, err := executor.Open(ctx, backend, executor.Config{Workers: producers + 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ex.Close()) }()
	// There is room for every item, since a model that runs one task after the
	// other puts them all before it takes the first.
	queue := executor.NewQueue[item](producers * items)
	defer func() { err = errors.Join(err, queue.Close(ctx)) }()

	start := time.Now()
	var tasks []executor.AnyFuture
	for i, w := range waits {
		tasks = append(tasks, produce.Submit(ctx, ex, production{i, queue, w, verbose}))
	}
	taken := consume.Submit(ctx, ex, consumption{queue, producers * items, second / 2, pop, verbose})
	tasks = append(tasks, taken)

	done, rest, err := executor.Wait(ctx, executor.FirstError, tasks...)
	for _, t := range rest {
		t.Cancel() // it might wait for one that has failed
	}
	for _, t := range done {
		err = errors.Join(err, t.Err())
	}
	if err != nil {
		return err
	}
	got, err := taken.Wait(ctx)
	if err != nil {
		return err
	}
	measured := schedule{time.Since(start), got.Latencies}

	fmt.Printf("%d items, their sum is %d\n\n", len(got.Latencies), got.Sum)
	fmt.Printf("%-16s %8s %14s %9s\n", "", "total", "mean latency", "median")
	measured.print(backend)
	expect(waits, second/2, true).print("side by side")
	expect(waits, second/2, false).print("one by one")
	return nil
}

// An item is what goes through the queue.
type item struct {
	Square int
	Put    harness.Stamp // a clock that all processes of a host share
}

// What a task gets and returns is plain data with exported fields, since it may
// cross to another process. A queue may be among it.
type production struct {
	Producer int
	Queue    *executor.Queue[item]
	Waits    []time.Duration
	Verbose  bool
}

var produce = executor.NewTask("produce", func(ctx context.Context, p production) (int, error) {
	for i, wait := range p.Waits {
		n := (i + 1) * (i + 1)
		if err := p.Queue.Put(ctx, item{n, harness.Now()}); err != nil {
			return i, err
		}
		if p.Verbose {
			fmt.Printf("producer %d (pid %d) put %d\n", p.Producer, os.Getpid(), n)
		}
		if err := sleep(ctx, wait); err != nil {
			return i, err
		}
	}
	return len(p.Waits), nil
})

type consumption struct {
	Queue   *executor.Queue[item]
	Items   int
	Wait    time.Duration
	Pop     bool
	Verbose bool
}

type consumed struct {
	Sum       int
	Latencies []time.Duration
}

var errEmpty = errors.New("pop from an empty list")

var consume = executor.NewTask("consume", func(ctx context.Context, c consumption) (got consumed, err error) {
	patience := ctx
	if c.Pop {
		none, cancel := context.WithCancelCause(ctx)
		cancel(errEmpty)
		patience = none // Get takes what is there, and does not wait
	}
	for range c.Items {
		it, err := c.Queue.Get(patience)
		if err != nil {
			return got, err
		}
		got.Sum += it.Square
		got.Latencies = append(got.Latencies, harness.Now().Sub(it.Put))
		if c.Verbose {
			fmt.Printf("consumer (pid %d) took %d\n", os.Getpid(), it.Square)
		}
		if err := sleep(ctx, c.Wait); err != nil {
			return got, err
		}
	}
	return got, nil
})

// sleep stands for a wait for something outside. On an event loop or under an
// interpreter's lock, others run meanwhile.
func sleep(ctx context.Context, d time.Duration) (err error) {
	executor.Blocking(ctx, func() {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	})
	return err
}

// A schedule is how long everything takes, and how long items lie in the queue.
type schedule struct {
	total     time.Duration
	latencies []time.Duration
}

func (s schedule) print(name string) {
	sum := time.Duration(0)
	for _, l := range s.latencies {
		sum += l
	}
	n := len(s.latencies)
	sorted := slices.Sorted(slices.Values(s.latencies))
	median := (sorted[(n-1)/2] + sorted[n/2]) / 2
	fmt.Printf("%-16s %6.3f s %12.3f s %7.3f s\n", name, s.total.Seconds(), (sum / time.Duration(n)).Seconds(), median.Seconds())
}

// expect computes what nothing but the waits would take.
func expect(waits [producers][]time.Duration, wait time.Duration, sideBySide bool) (s schedule) {
	var puts []time.Duration
	now := time.Duration(0)
	for _, w := range waits {
		if sideBySide {
			now = 0
		}
		for _, d := range w {
			puts = append(puts, now)
			now += d
		}
		s.total = max(s.total, now)
	}
	if sideBySide {
		now = 0
	}
	slices.Sort(puts)
	for _, put := range puts {
		now = max(now, put)
		s.latencies = append(s.latencies, now-put)
		now += wait
	}
	s.total = max(s.total, now)
	return s
}
