// Command pool fetches five pages and prints their titles, with the worker and
// the process that fetched each, on the execution model that is named:
//
//	go run ./examples/pool -backend threads
//	HARNESS_BACKEND=processes go run ./examples/pool
//
// One value picks the model, and nothing else in the program changes. Only on
// processes do the pages come through several of them. The pages are the
// program's own, on a server that takes a while for each.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/f3f4c0de/harness/executor"
)

func main() {
	executor.Main(fetchTitle)
	backend := flag.String("backend", "", "execution `model` (default $HARNESS_BACKEND, or goroutines)")
	scale := flag.Float64("scale", 0.1, "`factor` on the server's half a second a page")
	flag.Parse()

	if err := run(*backend, *scale); err != nil {
		fmt.Fprintln(os.Stderr, "pool:", err)
		os.Exit(1)
	}
}

func run(backend string, scale float64) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	server := httptest.NewServer(pages(time.Duration(scale * float64(time.Second) / 2)))
	defer server.Close()

	ex, err := open(ctx, backend, executor.Config{Workers: 5, Timing: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ex.Close()) }()
	fmt.Println("the program's pid is", os.Getpid())

	start := time.Now()
	var titles []*executor.Future[title]
	for _, path := range []string{"/apples", "/cherries", "/pears", "/plums", "/quinces"} {
		titles = append(titles, fetchTitle.Submit(ctx, ex, server.URL+path))
	}
	for _, f := range titles {
		t, err := f.Wait(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("worker %d  pid %-7d  %s\n", f.Timing().Worker, t.PID, t.Text)
	}
	fmt.Printf("%.3f s in all\n", time.Since(start).Seconds())
	return nil
}

// open opens the model that the flag names, or else the environment.
func open(ctx context.Context, backend string, cfg executor.Config) (*executor.Executor, error) {
	if backend == "" {
		return executor.FromEnv(ctx, cfg)
	}
	return executor.Open(ctx, backend, cfg)
}

type title struct {
	Text string
	PID  int // of the process that fetched it
}

var fetchTitle = executor.NewTask("title", func(ctx context.Context, url string) (title, error) {
	page, err := get(ctx, url)
	if err != nil {
		return title{}, err
	}
	_, rest, _ := strings.Cut(page, "<title>")
	text, _, found := strings.Cut(rest, "</title>")
	if !found {
		return title{}, fmt.Errorf("%s has no title", url)
	}
	return title{text, os.Getpid()}, nil
})

// get fetches a page. While it waits for it, an event loop or an interpreter's
// lock lets others run.
func get(ctx context.Context, url string) (page string, err error) {
	executor.Blocking(ctx, func() {
		var req *http.Request
		if req, err = http.NewRequestWithContext(ctx, http.MethodGet, url, nil); err != nil {
			return
		}
		var resp *http.Response
		if resp, err = http.DefaultClient.Do(req); err != nil {
			return
		}
		defer resp.Body.Close()
		var body []byte
		body, err = io.ReadAll(resp.Body)
		page = string(body)
	})
	return page, err
}

// pages serves, under any path, a page whose title is the path, after a delay.
func pages(delay time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return
		}
		fmt.Fprintf(w, "<html><title>All about %s</title></html>\n", strings.Trim(r.URL.Path, "/"))
	})
}
