package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
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
			return failed(writeMetrics(cmd.Context(), a.stdout, data, report.Build(data)))
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "serve them at this loopback address, such as "+metricsAddr)
	cmd.Flags().StringVar(&otlp, "otlp", "", "send them to this OTLP receiver, such as http://localhost:4318 or grpc://localhost:4317")
	cmd.MarkFlagsMutuallyExclusive("listen", "otlp")
	return cmd
}

// writeMetrics writes the metrics of a run as OpenMetrics.
func writeMetrics(ctx context.Context, w io.Writer, data *results.Data, r *report.Report) (err error) {
	m, err := metrics.New(ctx, &data.Run, trace.Destination{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	m.Update(data, r)
	return m.WriteText(w)
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
	if err := writeMetrics(ctx, &b, data, report.Build(data)); err != nil {
		return failed(err)
	}
	ctx, stop := untilSignal(ctx)
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
