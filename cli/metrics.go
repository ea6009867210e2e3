package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/metrics"
	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

// metricsAddr is the address that the configuration of Prometheus reads from.
const metricsAddr = "127.0.0.1:9464"

func newMetricsCommand(a *app) *cobra.Command {
	var listen, otlp string
	cmd := &cobra.Command{
		Use:   "metrics DIR",
		Short: "Print a run's metrics, serve them for Prometheus, or send them",
		Long: `metrics prints a run as OpenMetrics: trials, tasks, their times as histograms
with exemplars, what they spent it on. With --listen it serves them on
/metrics, where dashboards/prometheus.yaml reads them; with --otlp it sends them
to an OTLP receiver, such as a collector, or Prometheus itself:

  harness metrics run-… --listen 127.0.0.1:9464
  harness metrics run-… --otlp http://localhost:9090/api/v1/otlp`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var to trace.Destination
			if otlp != "" {
				t, err := trace.ParseTarget(otlp, trace.Metrics)
				if err != nil {
					return fmt.Errorf("--otlp: %w", err)
				}
				to.OTLP = &t
			}
			data, err := results.Read(args[0])
			if err != nil {
				return err
			}
			switch {
			case otlp != "":
				return failed(a.sendMetrics(cmd.Context(), data, to))
			case listen != "":
				return a.serveMetrics(cmd.Context(), args[0], data, listen)
			}
			return failed(metrics.Text(cmd.Context(), a.stdout, data, report.Build(data)))
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "serve them at this loopback address, such as "+metricsAddr)
	cmd.Flags().StringVar(&otlp, "otlp", "", "send them to this OTLP receiver, such as http://localhost:4318 or grpc://localhost:4317")
	cmd.MarkFlagsMutuallyExclusive("listen", "otlp")
	return cmd
}

// sendMetrics sends the metrics of a run that is over.
func (a *app) sendMetrics(ctx context.Context, data *results.Data, to trace.Destination) (err error) {
	m, err := metrics.New(ctx, &data.Run, to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	m.Update(data, report.Build(data))
	n, err := m.Push(ctx)
	if err != nil {
		return fmt.Errorf("none of %d metric series was sent to %s: %w", n, to.OTLP.URL, err)
	}
	_, err = fmt.Fprintf(a.stdout, "%d metric series sent to %s\n", n, to.OTLP.URL)
	return err
}

// serveMetrics serves the metrics of a run that is over, until Ctrl-C.
func (a *app) serveMetrics(ctx context.Context, dir string, data *results.Data, listen string) error {
	var b bytes.Buffer
	if err := metrics.Text(ctx, &b, data, report.Build(data)); err != nil {
		return failed(err)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	s, err := serveMetrics(ctx, listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	s.set(b.Bytes())
	if _, err := fmt.Fprintf(a.stdout, "Metrics of %s: %s\nCtrl-C ends it.\n", dir, s.url); err != nil {
		return failed(errors.Join(err, s.close()))
	}
	<-ctx.Done()
	return failed(s.close())
}

// liveMetrics are those of a run while it goes on. They are brought up to date
// between trials, and sent between trials.
type liveMetrics struct {
	recorder *metrics.Recorder
	to       trace.Destination
	server   *metricsServer // nil if they are not to be had

	pushed  time.Time // the last delivery
	read    time.Time // the records were
	took    time.Duration
	refused bool // no more deliveries until the end
}

// pushTimeout bounds a delivery while the run goes on, which waits for it.
const pushTimeout = 2 * time.Second

func newLiveMetrics(ctx context.Context, run *results.Run, to trace.Destination, s *metricsServer) (*liveMetrics, error) {
	m, err := metrics.New(ctx, run, to)
	if err != nil {
		return nil, err
	}
	return &liveMetrics{recorder: m, to: to, server: s, pushed: time.Now()}, nil
}

// refresh is called between trials. It takes a twentieth of the run's time at
// most, deliveries apart. What is wrong with the records is told when the report
// is made.
func (l *liveMetrics) refresh(ctx context.Context, dir string, progress *progress) {
	began := time.Now()
	serve := l.server != nil && began.Sub(l.read) >= 20*l.took
	push := l.to.OTLP != nil && !l.refused && began.Sub(l.pushed) >= l.to.Every
	if !serve && !push {
		return
	}
	data, err := results.Read(dir)
	if err != nil {
		return
	}
	l.recorder.Update(data, report.Build(data))
	if l.server != nil {
		var b bytes.Buffer
		if l.recorder.WriteText(&b) == nil {
			l.server.set(b.Bytes())
		}
	}
	l.read = time.Now()
	l.took = l.read.Sub(began)
	if !push {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	_, err = l.recorder.Push(ctx)
	l.pushed, l.refused = time.Now(), err != nil
	if err != nil && !l.unwanted(err) {
		progress.say("Warning: metrics are not delivered: %v\nThis is tried again when the run is over.", err)
	}
}

// unwanted reports whether a delivery failed because its receiver is one for
// spans alone, and nobody asked for metrics in particular.
func (l *liveMetrics) unwanted(err error) bool { return !l.to.Asked && metrics.Refused(err) }

// send delivers the metrics of a run that is over. A receiver that is down does
// not make a run fail: its metrics can be sent later.
func (l *liveMetrics) send(ctx context.Context, dir string, progress *progress) {
	if l.to.OTLP == nil && !l.to.Console {
		return
	}
	data, err := results.Read(dir)
	if err != nil {
		progress.say("Warning: no metrics were sent: %v", err)
		return
	}
	l.recorder.Update(data, report.Build(data))
	if err := l.recorder.Print(ctx); err != nil {
		progress.say("Warning: the metrics were not printed: %v", err)
	}
	if l.to.OTLP == nil {
		return
	}
	n, err := l.recorder.Push(ctx)
	switch {
	case err == nil:
		progress.say("%d metric series sent to %s.", n, l.to.OTLP.URL)
	case l.unwanted(err):
		progress.say("%s takes no metrics.", l.to.OTLP.URL)
	default:
		progress.say("Warning: none of %d metric series was sent: %v\nSend them later with: harness metrics %s --otlp %s", n, err, dir, l.to.OTLP.URL)
	}
}

func (l *liveMetrics) close() error { return l.recorder.Close() }

// A metricsServer serves what it was last given. Nothing is computed when it is
// asked, so that a question during a trial costs as good as nothing.
type metricsServer struct {
	url    string
	server *http.Server
	served sync.WaitGroup
	err    error

	mu   sync.Mutex
	text []byte
}

func serveMetrics(ctx context.Context, addr string) (*metricsServer, error) {
	l, err := listenLoopback(ctx, addr)
	if err != nil {
		return nil, err
	}
	s := &metricsServer{url: fmt.Sprintf("http://%s/metrics", l.Addr()), text: []byte("# EOF\n")}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		text := s.text
		s.mu.Unlock()
		w.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
		_, _ = w.Write(text) // whoever asked may have gone
	})
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	s.served.Go(func() { s.err = s.server.Serve(l) })
	return s, nil
}

func (s *metricsServer) set(text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = text
}

func (s *metricsServer) close() error {
	err := s.server.Close()
	s.served.Wait()
	if !errors.Is(s.err, http.ErrServerClosed) {
		err = errors.Join(err, s.err)
	}
	return err
}
