package executor_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/executor/pystyle"
)

func conformMap(c *conform) {
	ex := c.open(executor.Config{Workers: 3})
	for _, opt := range []executor.MapOptions{{}, {Chunk: 1}, {Chunk: 7}, {Chunk: 1000}, {Ahead: 1}, {Ahead: 10, Chunk: 3}} {
		var got int64
		for v, err := range ordered(c.ctx, ex, sum, pairs(300), opt) {
			if v != 3*got || err != nil {
				c.Fatalf("Map(%+v) gave %d, %v as result %d; want %d, nil", opt, v, err, got, 3*got)
			}
			got++
		}
		c.want("number of results", got, 300)
	}
}

func pairs(n int64) iter.Seq[pystyle.Pair[int64, int64]] {
	return func(yield func(pystyle.Pair[int64, int64]) bool) {
		for i := range n {
			if !yield(pystyle.Pair[int64, int64]{First: i, Second: 2 * i}) {
				return
			}
		}
	}
}

func conformMapError(c *conform) {
	ex := c.open(executor.Config{Workers: 2})
	for _, opt := range []executor.MapOptions{{}, {Chunk: 1}, {Chunk: 4}} {
		// The error comes in its place, and the rest after it.
		in := slices.Values([]int64{3, 2, 1, 0, 5, -1})
		var got []string
		for v, err := range ordered(c.ctx, ex, failing, in, opt) {
			if err != nil {
				c.wantErr("error of an input", err, errMine)
				got = append(got, "error")
				continue
			}
			got = append(got, fmt.Sprint(v))
		}
		c.want(fmt.Sprintf("results of Map(%+v)", opt), got, []string{"6", "4", "2", "error", "10", "error"})
	}
}

func conformMapTimeout(c *conform) {
	ex := c.open(executor.Config{Workers: 1})
	h := c.holding(7)
	short, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	cause := errors.New("out of time")
	var got []string
	c.letGo(h)
	for v, err := range ordered(short, ex, held, slices.Values([]holding{h, h, h}), executor.MapOptions{Chunk: 1}) {
		if err != nil {
			c.wantErr("error of Map() out of time", err, cause)
			got = append(got, "error")
			continue
		}
		got = append(got, fmt.Sprint(v))
		cancel(cause)
	}
	if len(got) < 2 || got[0] != "7" || got[len(got)-1] != "error" || len(got) > 3 {
		c.Errorf("Map() gave %v; want 7, then the error", got)
	}
}

// endless counts up until nobody wants more, and tells how far it came.
func endless(taken *int64) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		for *taken = 1; yield(*taken); *taken++ {
		}
	}
}

func conformMapEndless(c *conform) {
	ex := c.open(executor.Config{Workers: 2})
	for name, use := range map[string]func(context.Context, *executor.Executor, *executor.Task[int64, int64], iter.Seq[int64], executor.MapOptions) iter.Seq2[int64, error]{
		"Map": ordered[int64, int64], "MapUnordered": unordered[int64, int64],
	} {
		var taken int64
		n := int64(0)
		const ahead = 40
		for _, err := range use(c.ctx, ex, failing, endless(&taken), executor.MapOptions{Ahead: ahead}) {
			if n++; err != nil || taken > n-1+2*ahead { // those of the portion at hand were not asked for yet
				c.Fatalf("%s: result %d is an error, %v, or %d inputs were taken for it; want at most %d ahead", name, n, err, taken, ahead)
			}
			if n == 500 {
				break
			}
		}
		// Its context ends it, too, even if errors are not heeded.
		ctx, cancel := context.WithCancel(c.ctx)
		c.Cleanup(cancel)
		n = 0
		var last error
		for _, err := range use(ctx, ex, failing, endless(&taken), executor.MapOptions{}) {
			if n++; n == 100 {
				cancel()
			}
			last = err
		}
		c.wantErr("last error of "+name+" whose context ended", last, context.Canceled)
	}
}

func conformMapLeft(c *conform) {
	ex := c.open(executor.Config{Workers: 1})
	h := c.holding(7)
	c.letGo(h)
	for v, err := range ordered(c.ctx, ex, held, slices.Values(slices.Repeat([]holding{h}, 20)), executor.MapOptions{Chunk: 1}) {
		if v != 7 || err != nil {
			c.Errorf("Map() gave %d, %v; want 7, nil", v, err)
		}
		break
	}
	// What is left was cancelled, so nothing has to be let go.
	if v, err := failing.Submit(c.ctx, ex, 1).Wait(c.ctx); v != 2 || err != nil {
		c.Errorf("after Map() was left a task returned %d, %v; want 2, nil", v, err)
	}
}

func conformMapNothing(c *conform) {
	ex := c.open(executor.Config{Workers: 1})
	for v, err := range ordered(c.ctx, ex, failing, numbers(0), executor.MapOptions{}) {
		c.Errorf("Map() of nothing gave %d, %v", v, err)
	}
	for v, err := range unordered(c.ctx, ex, failing, numbers(0), executor.MapOptions{}) {
		c.Errorf("MapUnordered() of nothing gave %d, %v", v, err)
	}
}

func conformMapInputsPanic(c *conform) {
	ex := c.open(executor.Config{Workers: 1})
	func() {
		defer func() { c.want("what the panic came out of Map() as", recover(), "no more inputs") }()
		for range ordered(c.ctx, ex, failing, func(yield func(int64) bool) {
			_ = yield(1) && yield(2)
			panic("no more inputs")
		}, executor.MapOptions{}) {
			runtime.Gosched()
		}
	}()
	if v, err := failing.Submit(c.ctx, ex, 1).Wait(c.ctx); v != 2 || err != nil {
		c.Errorf("after that a task returned %d, %v; want 2, nil", v, err)
	}
}

func conformMapUnordered(c *conform) {
	ex := c.open(executor.Config{Workers: 2})
	var got []int64
	for v, err := range unordered(c.ctx, ex, failing, func(yield func(int64) bool) {
		for i := int64(1); i <= 300 && yield(i); i++ {
		}
	}, executor.MapOptions{}) {
		if err != nil {
			c.Fatal(err)
		}
		got = append(got, v)
	}
	slices.Sort(got)
	want := make([]int64, 300)
	for i := range want {
		want[i] = 2 * int64(i+1)
	}
	c.want("results of MapUnordered(), sorted", got, want)
	if c.workers < 2 {
		return
	}
	// One that takes long does not keep the others back.
	h, free := c.holding(7), c.holding(8)
	c.letGo(free)
	var order []int64
	for v, err := range unordered(c.ctx, ex, held, slices.Values([]holding{h, free}), executor.MapOptions{Chunk: 1}) {
		if err != nil {
			c.Fatal(err)
		}
		if order = append(order, v); len(order) == 1 {
			c.letGo(h)
		}
	}
	c.want("order of MapUnordered()", order, []int64{8, 7})
}

// Two inputs wait behind short ones, and each for the other. They were to be in
// one call, but when a worker has nothing to do, that is not kept together.
func conformMapBalances(c *conform) {
	ex := c.open(executor.Config{Workers: 2})
	if c.workers < 2 {
		return
	}
	for name, use := range map[string]func(context.Context, *executor.Executor, *executor.Task[holding, int64], iter.Seq[holding], executor.MapOptions) iter.Seq2[int64, error]{
		"Map": ordered[holding, int64], "MapUnordered": unordered[holding, int64],
	} {
		h := c.holding(1)
		var long, all atomic.Int64
		var running sync.WaitGroup
		running.Go(func() {
			in := append(make([]holding, 5000), h, h)
			for v, err := range use(c.ctx, ex, heldOrNot, slices.Values(in), executor.MapOptions{}) {
				if err != nil {
					c.Errorf("%s() reported %v", name, err)
				}
				long.Add(v)
				all.Add(1)
			}
		})
		for range 2 {
			if _, err := h.Started.Get(c.ctx); err != nil {
				c.Errorf("%s(): the long inputs did not run at the same time: %v", name, err)
			}
		}
		c.letGo(h)
		c.letGo(h)
		running.Wait()
		c.want("results, and those of long inputs, of "+name, []int64{all.Load(), long.Load()}, []int64{5002, 2})
	}
}
