package executor_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/harnesstest"
)

var square = executor.NewTask("square", func(_ context.Context, n int) (int, error) { return n * n, nil })

// forgetful has the test program forget to call Main.
const forgetful = "EXECUTOR_TEST_FORGETFUL"

func TestMain(m *testing.M) {
	if os.Getenv(forgetful) != "" {
		os.Exit(m.Run())
	}
	beStillborn()
	harnesstest.Main(m, square, carriesOut, whoami, mirror, held, heldOrNot, failing, sum, channels, dies, deaf, opens,
		handles, leaves, parks, severs,
		multiply, size, exit, forever) // of the examples
}

// quiet has the default logger say nothing until the test ends.
func quiet(t *testing.T) {
	t.Helper()
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
}

func TestOpenUnknownBackend(t *testing.T) {
	_, err := executor.Open(t.Context(), "fibers", executor.Config{})
	if err == nil || !strings.Contains(err.Error(), `"fibers"`) || !strings.Contains(err.Error(), "goroutines") {
		t.Errorf("Open() of an unknown backend = %v; want an error that names it and those that there are", err)
	}
}

func TestFromEnv(t *testing.T) {
	tests := []struct {
		name, backend, workers string
		cfg                    executor.Config
		want                   int    // workers
		err                    string // in place of them
	}{
		{"nothing", "", "", executor.Config{Workers: 3}, 3, ""},
		{"backend", "sequential", "", executor.Config{Workers: 3}, 1, ""},
		{"workers", "", "5", executor.Config{Workers: 3}, 5, ""},
		{"both", "gil", "2", executor.Config{}, 2, ""},
		{"no workers", "", "0", executor.Config{}, 0, "HARNESS_WORKERS"},
		{"not a number", "", "many", executor.Config{}, 0, `"many"`},
		{"unknown", "fibers", "", executor.Config{}, 0, "HARNESS_BACKEND=fibers"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(executor.EnvBackend, tt.backend)
			t.Setenv(executor.EnvWorkers, tt.workers)
			ex, err := executor.FromEnv(t.Context(), tt.cfg)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("FromEnv() = %v; want an error that says %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer ex.Close()
			if got := ex.Stats().Workers; got != tt.want {
				t.Errorf("FromEnv() opened %d workers; want %d", got, tt.want)
			}
		})
	}
}

// A program that forgets to call Main is told so at once.
func TestForgettingMain(t *testing.T) {
	if os.Getenv(forgetful) == "" {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestForgettingMain$", "-test.v")
		cmd.Env = append(os.Environ(), forgetful+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("a program that forgot to call Main: %v\n%s", err, out)
		}
		return
	}
	for range 2 {
		_, err := executor.Open(t.Context(), "processes", executor.Config{Workers: 1})
		if err == nil || !strings.Contains(err.Error(), "executor.Main") {
			t.Fatalf("Open() = %v; want an error that says to call executor.Main", err)
		}
	}
	ex, err := executor.Open(t.Context(), "goroutines", executor.Config{Workers: 1}) // needs none
	if err != nil {
		t.Fatal(err)
	}
	ex.Close()
}

// So is one that submits a task that was not given to Main.
func TestUnlistedTask(t *testing.T) {
	stranger := executor.NewTask("stranger", func(context.Context, int64) (int64, error) { return 0, nil })
	for name, cfg := range map[string]executor.Config{
		"in Tasks": {Workers: 1, Tasks: []executor.AnyTask{stranger}},
		"as Init":  {Workers: 1, Init: stranger.With(1)},
	} {
		_, err := executor.Open(t.Context(), "processes", cfg)
		if !errors.Is(err, executor.ErrUnknownTask) || !strings.Contains(err.Error(), "stranger") {
			t.Errorf("Open() with an unlisted task %s = %v; want ErrUnknownTask that names it", name, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ex, err := executor.Open(ctx, "processes", executor.Config{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer ex.Close()
	_, single := stranger.Submit(ctx, ex, 1).Wait(ctx)
	_, batch := submitBatch(ctx, ex, stranger, []int64{1}).Wait(ctx)
	for name, err := range map[string]error{"Submit": single, "SubmitBatch": batch} {
		if !errors.Is(err, executor.ErrUnknownTask) || !strings.Contains(err.Error(), "stranger") {
			t.Errorf("%s of an unlisted task = %v; want ErrUnknownTask that names it", name, err)
		}
	}
	if v, err := square.Submit(ctx, ex, 3).Wait(ctx); v != 9 || err != nil {
		t.Errorf("after it a task returned %d, %v; want 9, nil", v, err)
	}
}

func TestOpenRefusesNegativeSettings(t *testing.T) {
	for _, cfg := range []executor.Config{{Workers: -1}, {Queue: -1}, {MaxTasksPerWorker: -1}, {IdleTimeout: -1}, {SwitchInterval: -1}, {Full: 2}} {
		if ex, err := executor.Open(t.Context(), "goroutines", cfg); err == nil {
			_ = ex.Close()
			t.Errorf("Open with %+v gave no error", cfg)
		}
	}
}
