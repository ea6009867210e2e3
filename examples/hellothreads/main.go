// Command hellothreads starts four threads that greet somebody a number of
// times, and joins each for a limited time, on the execution model that is
// named:
//
//	go run ./examples/hellothreads -backend threads
//	go run ./examples/hellothreads -backend processes -daemon=false
//
// Each waits a second after a greeting, and each of the four joins gives up
// after a second. One thread has ended when its turn comes, so the program comes
// to its end after about three seconds, with greetings left to be said. Daemon
// threads are abandoned then; others are waited for.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/executor/pystyle"
)

func main() {
	executor.Main(greet)
	backend := flag.String("backend", cmp.Or(os.Getenv(executor.EnvBackend), "goroutines"), "execution `model`: goroutines, threads, processes or another")
	scale := flag.Float64("scale", 0.1, "`factor` on the seconds")
	daemon := flag.Bool("daemon", true, "abandon what is left when the program ends")
	flag.Parse()

	if err := run(*backend, *scale, *daemon); err != nil {
		fmt.Fprintln(os.Stderr, "hellothreads:", err)
		os.Exit(1)
	}
}

func run(backend string, scale float64, daemon bool) (err error) {
	ctx := context.Background()
	// Like Python, wait for the threads that are not daemons.
	defer func() { err = errors.Join(err, pystyle.Finish(ctx)) }()

	second := time.Duration(scale * float64(time.Second))
	var threads []*pystyle.Thread
	for _, g := range []greeting{
		{"Michael", 10, second},
		{"Sarah", 5, second},
		{"Zoe", 2, second},
		{"Mark", 11, second},
	} {
		threads = append(threads, pystyle.NewThread(greet.With(g), pystyle.ThreadConfig{
			Name:    "greeter of " + g.Name,
			Daemon:  daemon,
			Backend: backend,
		}))
	}

	start := time.Now()
	for _, t := range threads { // so far they are not running
		if err := t.Start(ctx); err != nil {
			return err
		}
	}
	fmt.Println("all started; here one could do other work")
	for _, t := range threads {
		t.JoinTimeout(second)
	}
	for _, t := range threads {
		state := "has ended"
		if t.IsAlive() {
			state = "is alive"
		}
		fmt.Printf("%s (id %d, native id %d) %s\n", t.Name(), t.ID(), t.NativeID(), state)
	}
	fmt.Printf("main is done after %.3f s\n", time.Since(start).Seconds())
	return nil
}

type greeting struct {
	Name  string
	Times int
	Wait  time.Duration // after each
}

var greet = executor.NewTask("greet", func(ctx context.Context, g greeting) (int, error) {
	for n := range g.Times {
		fmt.Printf("Hello %s, for the %d. time, from pid %d\n", g.Name, n+1, os.Getpid())
		if err := sleep(ctx, g.Wait); err != nil {
			return n + 1, err
		}
	}
	return g.Times, nil
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
