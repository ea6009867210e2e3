// Command health keeps an executor busy and serves its metrics for Prometheus,
// until Ctrl-C:
//
//	go run ./examples/health -backend processes
//	curl http://127.0.0.1:9465/metrics
//
// The Grafana dashboard dashboards/grafana/executor.json shows them. With -tasks
// it ends after so many and prints them instead.
//
// What the executor is observed by is package executor/health; everything else
// about OpenTelemetry is the choice of the program: here, its SDK and the
// exporter for Prometheus.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	goruntime "go.opentelemetry.io/contrib/instrumentation/runtime"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/executor/health"
)

func main() {
	executor.Main(compute, wait)
	backend := flag.String("backend", "", "execution `model` (default $HARNESS_BACKEND, or goroutines)")
	listen := flag.String("listen", "127.0.0.1:9465", "`address` at which the metrics are to be had")
	tasks := flag.Int("tasks", 0, "end after so many and print the metrics (0: at Ctrl-C)")
	scale := flag.Float64("scale", 1, "`factor` on how long tasks take, some milliseconds")
	flag.Parse()

	if err := run(*backend, *listen, *tasks, *scale); err != nil {
		fmt.Fprintln(os.Stderr, "health:", err)
		os.Exit(1)
	}
}

func run(backend, listen string, tasks int, scale float64) (err error) {
	ctx, interrupted := signal.NotifyContext(context.Background(), os.Interrupt)
	defer interrupted()

	// The program's own choice: an SDK, and an exporter that Prometheus reads.
	registry := prometheus.NewRegistry()
	exporter, err := promexporter.New(promexporter.WithRegisterer(registry), promexporter.WithoutScopeInfo())
	if err != nil {
		return err
	}
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter))
	defer func() { err = errors.Join(err, provider.Shutdown(context.WithoutCancel(ctx))) }()
	if err := goruntime.Start(goruntime.WithMeterProvider(provider)); err != nil {
		return err
	}
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true})

	// An executor whose metrics go there.
	h, err := health.New(provider, "example")
	if err != nil {
		return err
	}
	ex, err := open(ctx, backend, executor.Config{Workers: 4, Observer: h.Observer(nil)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ex.Close()) }()
	stop, err := h.Watch(ex)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()

	if tasks > 0 {
		if err := work(ctx, ex, tasks, scale); err != nil {
			return err
		}
		return show(handler)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }() // ends with Close, below
	fmt.Printf("metrics: http://%s/metrics\nCtrl-C ends it.\n", l.Addr())
	for err == nil && ctx.Err() == nil {
		err = work(ctx, ex, 100, scale)
	}
	if ctx.Err() != nil {
		err = nil // as it was asked to
	}
	err = errors.Join(err, server.Close())
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

// open opens the model that the flag names, or else the environment.
func open(ctx context.Context, backend string, cfg executor.Config) (*executor.Executor, error) {
	if backend == "" {
		return executor.FromEnv(ctx, cfg)
	}
	return executor.Open(ctx, backend, cfg)
}

// work has n tasks done: half of them compute, half of them wait, and one of
// twenty fails.
func work(ctx context.Context, ex *executor.Executor, n int, scale float64) error {
	var all []executor.AnyFuture
	for i := range n {
		d := time.Duration(scale * float64(time.Millisecond) * float64(1+i%5))
		if i%2 == 0 {
			all = append(all, compute.Submit(ctx, ex, d))
		} else {
			all = append(all, wait.Submit(ctx, ex, job{d, i%20 == 19}))
		}
	}
	_, _, err := executor.Wait(ctx, executor.AllCompleted, all...)
	return err
}

// show prints what Prometheus would read.
func show(handler http.Handler) error {
	r := httptest.NewRecorder()
	handler.ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	_, err := io.Copy(os.Stdout, r.Body)
	return err
}

type job struct {
	Time time.Duration
	Fail bool
}

// compute keeps a processor busy for that long.
var compute = executor.NewTask("compute", func(ctx context.Context, d time.Duration) (int, error) {
	n := 0
	for began := time.Now(); time.Since(began) < d; n++ {
		executor.Checkpoint(ctx)
	}
	return n, nil
})

// wait waits for that long, as for a reply.
var wait = executor.NewTask("wait", func(ctx context.Context, j job) (struct{}, error) {
	executor.Blocking(ctx, func() {
		select {
		case <-time.After(j.Time):
		case <-ctx.Done():
		}
	})
	if j.Fail {
		return struct{}{}, errors.New("no reply, on purpose")
	}
	return struct{}{}, ctx.Err()
})
