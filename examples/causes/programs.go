package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor"
)

// program makes a workload that runs a task n times, on so many workers for each
// core, and knows every result.
func program[In, Out any](name, doc string, workers, n int, task *executor.Task[In, Out], in func(i int) In, want func(i int) Out, same func(a, b Out) bool) harness.Workload {
	return harness.Workload{
		Name: name, Doc: doc, Tasks: []executor.AnyTask{task},
		Workers: func(cores int) int { return workers * cores },
		Open: func(context.Context, harness.Env) (harness.Session, error) {
			s := &session[In, Out]{task: task, want: want, same: same}
			for i := range n {
				s.in = append(s.in, in(i))
			}
			return s, nil
		},
	}
}

type session[In, Out any] struct {
	task *executor.Task[In, Out]
	in   []In
	out  []Out
	want func(i int) Out
	same func(a, b Out) bool
}

func (s *session[In, Out]) Run(ctx context.Context, ex *executor.Executor) error {
	var futures []*executor.Future[Out]
	for _, in := range s.in {
		futures = append(futures, s.task.Submit(ctx, ex, in))
	}
	for _, f := range futures {
		out, err := f.Wait(ctx)
		if err != nil {
			return err
		}
		s.out = append(s.out, out)
	}
	return nil
}

// Check holds every result against the one that is known.
func (s *session[In, Out]) Check() (harness.Outcome, error) {
	for i, got := range s.out {
		if want := s.want(i); !s.same(got, want) {
			return harness.Outcome{}, fmt.Errorf("task %d came out as %v; want %v", i, got, want)
		}
	}
	return harness.Outcome{Digest: harness.Digest(s.out), Tasks: len(s.out)}, nil
}

func (s *session[In, Out]) Close() error { return nil }

func equal[T comparable](a, b T) bool { return a == b }

// index remembers the pages that were seen, by their checksum.
var index = struct {
	sync.Mutex
	pages map[uint32]int
}{pages: make(map[uint32]int)}

// enter enters a page into the index and returns its checksum.
func enter(page string) uint32 {
	index.Lock()
	defer index.Unlock()
	sum := checksum(page)
	index.pages[sum] = len(page)
	return sum
}

// checksum is that of a page in lower case without its blanks.
func checksum(page string) uint32 {
	sum := uint32(2166136261) // FNV-1a
	for i := range len(page) {
		c := page[i]
		if c == ' ' {
			continue
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		sum = (sum ^ uint32(c)) * 16777619
	}
	return sum
}

func textOf(book int) string {
	return strings.Repeat(fmt.Sprintf("It was the best of times %d, it was the worst of times. ", book), 8000)
}

const pages = 8

var alpha = program("alpha", "the checksums of the pages of some books", 2, 24,
	executor.NewTask("alpha", func(_ context.Context, book int) (uint32, error) {
		var all uint32
		text := textOf(book)
		for n := range pages {
			all ^= enter(text[n:])
		}
		return all, nil
	}),
	func(i int) int { return i },
	func(i int) (all uint32) {
		for n := range pages {
			all ^= checksum(textOf(i)[n:])
		}
		return all
	}, equal)

// A sheet is a table of figures.
type sheet struct {
	Title string      `json:"title"`
	Cells [][]float64 `json:"cells"`
}

func sheetOf(i int) sheet {
	s := sheet{Title: fmt.Sprint("Sheet ", i)}
	for row := range 100 {
		cells := make([]float64, 100)
		for column := range cells {
			cells[column] = float64((i+1)*(row+1)*(column+1)) / 7
		}
		s.Cells = append(s.Cells, cells)
	}
	return s
}

func largest(s sheet) float64 {
	most := 0.0
	for _, row := range s.Cells {
		most = max(most, slices.Max(row))
	}
	return most
}

var beta = program("beta", "the largest figure of each of some sheets", 1, 24,
	executor.NewTask("beta", func(_ context.Context, s sheet) (float64, error) { return largest(s), nil }),
	sheetOf, func(i int) float64 { return largest(sheetOf(i)) }, equal)

// blocks of numbers, and the primes below 100,000 and each multiple of that.
const block = 100_000

var primesBelow = []int{0, 9592, 17984, 25997, 33860, 41538, 49098, 56543, 63951, 71274, 78498, 85714, 92938}

func prime(n int) bool {
	if n < 4 {
		return n > 1
	}
	if n%2 == 0 {
		return false
	}
	for d := 3; d*d <= n; d += 2 {
		if n%d == 0 {
			return false
		}
	}
	return true
}

var gamma = program("gamma", "the number of primes in blocks of numbers", 1, len(primesBelow)-1,
	executor.NewTask("gamma", func(ctx context.Context, at int) (int, error) {
		count := 0
		for n := at * block; n < (at+1)*block; n++ {
			if prime(n) {
				count++
			}
			if n%256 == 0 {
				executor.Checkpoint(ctx)
			}
		}
		return count, nil
	}),
	func(i int) int { return i },
	func(i int) int { return primesBelow[i+1] - primesBelow[i] }, equal)

// A family has two children or none.
type family struct{ left, right *family }

func grow(generations int) *family {
	if generations == 0 {
		return &family{}
	}
	return &family{grow(generations - 1), grow(generations - 1)}
}

func (f *family) members() int {
	if f.left == nil {
		return 1
	}
	return 1 + f.left.members() + f.right.members()
}

const generations = 15

// village has the families that were counted last.
var village [16]atomic.Pointer[family]

var delta = program("delta", "the members of families after some generations", 1, 24,
	executor.NewTask("delta", func(_ context.Context, at int) (int, error) {
		f := grow(generations)
		village[at%len(village)].Store(f)
		return f.members(), nil
	}),
	func(i int) int { return i }, func(int) int { return 1<<(generations+1) - 1 }, equal)
