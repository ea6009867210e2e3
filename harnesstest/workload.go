package harnesstest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
)

// TestWorkload checks every promise that a workload makes: its description,
// and that on every backend it runs, its output is right and its digest is the same.
// params is like w.Params, with values that keep the test short; nil stands for
// w.Params. The test's TestMain must call [Main] with w.Tasks.
func TestWorkload(t *testing.T, w *harness.Workload, params any) {
	t.Helper()
	t.Run("description", func(t *testing.T) { describe(t, w) })
	if params == nil {
		params = w.Params
	}
	var digest, from string
	for _, b := range executor.Backends() {
		t.Run(b.Name, func(t *testing.T) {
			if w.NeedsSharedMemory && !b.Shared {
				t.Skip("not applicable: the workload needs shared memory")
			}
			out, err := runOnce(t, w, b, params)
			if err != nil {
				t.Fatal(err)
			}
			if out.Digest == "" || out.Tasks < 1 {
				t.Errorf("Check() = %+v; want a digest and at least one task", out)
			}
			if digest == "" {
				digest, from = out.Digest, b.Name
			}
			if out.Digest != digest {
				t.Errorf("digest is %s; on %s it was %s", out.Digest, from, digest)
			}
		})
	}
}

func describe(t *testing.T, w *harness.Workload) {
	if w.Name == "" || w.Name != strings.ToLower(w.Name) || strings.ContainsAny(w.Name, " /.,=") {
		t.Errorf("Name is %q; want one lower-case word", w.Name)
	}
	if first, _, _ := strings.Cut(w.Doc, "\n"); first == "" || len(first) > 72 {
		t.Errorf("Doc begins with %q; want a line of at most 72 characters", first)
	}
	names := make(map[string]bool)
	for _, task := range w.Tasks {
		if names[task.Name()] {
			t.Errorf("two tasks are named %q", task.Name())
		}
		names[task.Name()] = true
	}
	for _, a := range w.Axes {
		describeAxis(t, w, a)
	}
	if w.Params == nil {
		return
	}
	p := reflect.TypeOf(w.Params)
	if p.Kind() != reflect.Pointer || p.Elem().Kind() != reflect.Struct {
		t.Fatalf("Params is a %v; want a pointer to a struct", p)
	}
	for f := range p.Elem().Fields() {
		if f.Tag.Get("yaml") == "" || f.Tag.Get("doc") == "" {
			t.Errorf("parameter %s needs a yaml tag, its name, and a doc tag", f.Name)
		}
	}
}

// describeAxis checks that the program accepts the values of its axis, and that they
// change its parameters.
func describeAxis(t *testing.T, w *harness.Workload, a harness.Axis) {
	if a.Name != "size" && a.Name != "wait" && a.Name != "payload" || a.Doc == "" {
		t.Errorf("axis %q, %q; want size, wait or payload, and a description", a.Name, a.Doc)
	}
	if a.Unit != "ns" && a.Unit != "B" && a.Unit != "1" {
		t.Errorf("axis %s has the unit %q; want ns, B or 1", a.Name, a.Unit)
	}
	if len(a.Values) < 2 || !slices.IsSorted(a.Values) || a.Set == nil || w.Params == nil {
		t.Fatalf("axis %s has the values %v, parameters %v; want at least two in ascending order, Set, and parameters", a.Name, a.Values, w.Params)
	}
	var previous any
	for _, v := range a.Values {
		p := reflect.New(reflect.TypeOf(w.Params).Elem())
		p.Elem().Set(reflect.ValueOf(w.Params).Elem())
		a.Set(p.Interface(), v)
		if c, ok := p.Interface().(interface{ Validate() error }); ok {
			if err := c.Validate(); err != nil {
				t.Errorf("axis %s at %v: %v", a.Name, v, err)
			}
		}
		if now := p.Elem().Interface(); previous != nil && reflect.DeepEqual(now, previous) {
			t.Errorf("axis %s at %v changes nothing: %+v", a.Name, v, now)
		} else {
			previous = now
		}
	}
}

// runOnce runs the workload as a trial does.
func runOnce(t *testing.T, w *harness.Workload, b *core.Backend, params any) (out harness.Outcome, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	workers := 2
	if w.Workers != nil {
		workers = w.Workers(2)
	}
	if b.MaxWorkers > 0 {
		workers = min(workers, b.MaxWorkers)
	}
	env := harness.Env{Params: params, Workers: workers, Dir: t.TempDir()}
	if w.Serve != nil {
		env.Addr = serve(ctx, t, w, params)
	}
	session, err := w.Open(ctx, env)
	if err != nil {
		return out, fmt.Errorf("opening the workload: %w", err)
	}
	defer func() {
		if e := session.Close(); e != nil && err == nil {
			err = fmt.Errorf("closing the workload: %w", e)
		}
	}()
	ex, err := open(ctx, b, core.Config{Workers: workers, Tasks: core.TasksOf(w.Tasks)})
	if err != nil {
		return out, fmt.Errorf("opening the backend: %w", err)
	}
	defer func() {
		if e := ex.Close(); e != nil && err == nil {
			err = fmt.Errorf("closing the backend: %w", e)
		}
	}()
	if warmer, ok := session.(harness.Warmer); ok {
		if err := warmer.Warm(ctx, ex); err != nil {
			return out, fmt.Errorf("warming up: %w", err)
		}
	}
	if err := session.Run(ctx, ex); err != nil {
		return out, fmt.Errorf("running: %w", err)
	}
	return session.Check()
}

// serve runs the workload's server until the end of the test.
func serve(ctx context.Context, t *testing.T, w *harness.Workload, params any) (addr string) {
	ctx, cancel := context.WithCancel(ctx)
	ready := make(chan string, 1)
	ended := make(chan error, 1)
	go func() { ended <- w.Serve(ctx, params, func(addr string) { ready <- addr }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the workload's server: %v", err)
		}
	})
	select {
	case addr = <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatalf("the workload's server ended before it was ready: %v", err)
	}
	return addr
}
