package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/inspect"
	"github.com/f3f4c0de/harness/internal/metrics"
	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
	"github.com/f3f4c0de/harness/internal/web"
)

func newMetricsCommand(a *app) *cobra.Command {
	var listen, otlp string
	cmd := &cobra.Command{
		Use:   "metrics DIR",
		Short: "Print a run's metrics, serve them for Prometheus, or send them",
		Long: `metrics prints the metrics of a run as OpenMetrics: trials, tasks, histograms of
their times with exemplars, and where the time went. With --listen it serves them
at /metrics, where dashboards/prometheus.yaml reads them. With --otlp it sends
them to an OTLP receiver, such as a collector, or Prometheus itself:

  harness metrics run-… --listen 127.0.0.1:9464
  harness metrics run-… --otlp http://localhost:9090/api/v1/otlp`,
		Args: cobra.ExactArgs(1),
		RunE: about(func(*cobra.Command) (action, error) {
			var to trace.Destination
			if otlp != "" {
				t, err := trace.ParseTarget(otlp, trace.Metrics)
				if err != nil {
					return nil, fmt.Errorf("--otlp: %w", err)
				}
				to.OTLP = &t
			}
			return func(ctx context.Context, run *inspect.Run) error {
				switch {
				case otlp != "":
					return failed(a.sendMetrics(ctx, run.Data, to))
				case listen != "":
					return a.serveMetrics(ctx, run, listen)
				}
				return failed(metrics.Text(ctx, a.stdout, run.Data, report.Build(run.Data)))
			}, nil
		}),
	}
	cmd.Flags().StringVar(&listen, "listen", "", "serve them at this loopback address, such as "+web.MetricsAddr)
	cmd.Flags().StringVar(&otlp, "otlp", "", "send them to this OTLP receiver, such as http://localhost:4318 or grpc://localhost:4317")
	cmd.MarkFlagsMutuallyExclusive("listen", "otlp")
	return cmd
}

// sendMetrics sends the metrics of a run that has ended.
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

// serveMetrics serves the metrics of a run that has ended, until Ctrl-C.
func (a *app) serveMetrics(ctx context.Context, run *inspect.Run, listen string) error {
	var b bytes.Buffer
	if err := metrics.Text(ctx, &b, run.Data, report.Build(run.Data)); err != nil {
		return failed(err)
	}
	var m web.Metrics
	m.Set(b.Bytes())
	s, err := open(ctx, listen, m.Handler())
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	return a.serveUntilSignal(ctx, s, fmt.Sprintf("Metrics of %s: %s", run.Dir, s.URL()+web.MetricsPath))
}
