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

	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
)

// metricsAddr is the address that the configuration of Prometheus reads from.
const metricsAddr = "127.0.0.1:9464"

func newMetricsCommand(a *app) *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:   "metrics DIR",
		Short: "Print a run's metrics, or serve them for Prometheus",
		Long: `metrics prints a run as OpenMetrics: trials, tasks, their times as histograms
with exemplars, what they spent it on. With --listen it serves them on
/metrics, where dashboards/prometheus.yaml reads them:

  harness metrics run-… --listen 127.0.0.1:9464`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := metricsOf(args[0])
			if err != nil {
				return err
			}
			if listen == "" {
				_, err := a.stdout.Write(b)
				return failed(err)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			s, err := serveMetrics(ctx, listen)
			if err != nil {
				return fmt.Errorf("--listen: %w", err)
			}
			s.set(b)
			if _, err := fmt.Fprintf(a.stdout, "Metrics of %s: %s\nCtrl-C ends it.\n", args[0], s.url); err != nil {
				return failed(errors.Join(err, s.close()))
			}
			<-ctx.Done()
			return failed(s.close())
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "serve them at this loopback address, such as "+metricsAddr)
	return cmd
}

// metricsOf makes the metrics of a run from its records.
func metricsOf(dir string) ([]byte, error) {
	data, err := results.Read(dir)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := report.RunMetrics(&b, data, report.Build(data)); err != nil {
		return nil, failed(err)
	}
	return b.Bytes(), nil
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

// refreshMetrics is called between trials. What is wrong with the records is told
// when the report is made.
func (a *app) refreshMetrics(dir string) {
	if a.metrics == nil {
		return
	}
	if b, err := metricsOf(dir); err == nil {
		a.metrics.set(b)
	}
}

func (s *metricsServer) close() error {
	err := s.server.Close()
	s.served.Wait()
	if !errors.Is(s.err, http.ErrServerClosed) {
		err = errors.Join(err, s.err)
	}
	return err
}
