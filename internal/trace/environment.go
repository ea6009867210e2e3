package trace

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/propagators/autoprop"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
)

// A Destination says where a signal goes beside the run's folder.
type Destination struct {
	OTLP    *Target       // nil for nowhere
	Console bool          // standard error
	Listen  string        // of metrics: an address at which they are to be had
	Every   time.Duration // of metrics: from one delivery to the next
	// Asked tells that this signal was asked for by name, so that a receiver
	// that does not take it is worth a warning.
	Asked bool
}

// The defaults of the specification.
const (
	defaultEndpoint = "http://localhost:4318"
	defaultInterval = time.Minute
)

// FromEnv reads the standard variables, also those that the Go SDK leaves to
// others: OTEL_SDK_DISABLED, OTEL_TRACES_EXPORTER and OTEL_METRICS_EXPORTER with
// otlp, console or none, or several of them, prometheus for metrics, and
// OTEL_PROPAGATORS. Without an exporter a signal is sent if an endpoint is named. The run's folder gets its spans and
// metrics in any case: they are a record of the run.
//
// endpoint, if it is not empty, is what the user named in the place of
// OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_TRACES_ENDPOINT.
func FromEnv(endpoint string) (spans, metrics Destination, err error) {
	if _, err := propagator(); err != nil {
		return spans, metrics, err
	}
	disabled := false
	switch v := os.Getenv("OTEL_SDK_DISABLED"); strings.ToLower(v) {
	case "", "false":
	case "true":
		disabled = true
	default:
		return spans, metrics, fmt.Errorf("environment: OTEL_SDK_DISABLED is %q; want true or false", v)
	}
	if spans, err = Traces.destination(disabled, "otlp", "console"); err != nil {
		return spans, metrics, err
	}
	if metrics, err = Metrics.destination(disabled, "otlp", "console", "prometheus"); err != nil {
		return spans, metrics, err
	}
	metrics.Every = defaultInterval
	if v := os.Getenv("OTEL_METRIC_EXPORT_INTERVAL"); v != "" {
		ms, err := strconv.Atoi(v)
		if err != nil || ms <= 0 {
			return spans, metrics, fmt.Errorf("environment: OTEL_METRIC_EXPORT_INTERVAL is %q; want milliseconds, such as 60000", v)
		}
		metrics.Every = time.Duration(ms) * time.Millisecond
	}
	if endpoint == "" {
		return spans, metrics, nil
	}
	t, err := ParseTarget(endpoint, Traces)
	if err != nil {
		return spans, metrics, err
	}
	spans.OTLP, spans.Asked = &t, true
	wanted := list(os.Getenv("OTEL_METRICS_EXPORTER"))
	own := os.Getenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT") != "" && !disabled
	if !own && (len(wanted) == 0 || slices.Contains(wanted, "otlp")) && !strings.HasSuffix(strings.TrimSuffix(endpoint, "/"), "/v1/traces") {
		m, err := ParseTarget(endpoint, Metrics)
		if err != nil {
			return spans, metrics, err
		}
		metrics.OTLP = &m
	}
	return spans, metrics, nil
}

// destination reads where the environment wants a signal to go.
func (s Signal) destination(disabled bool, known ...string) (d Destination, err error) {
	if disabled {
		return d, nil
	}
	name := "OTEL_" + strings.ToUpper(string(s)) + "_EXPORTER"
	value := os.Getenv(name)
	endpoint := s.env("ENDPOINT")
	exporters := list(value)
	d.Asked = len(exporters) > 0 || os.Getenv("OTEL_EXPORTER_OTLP_"+strings.ToUpper(string(s))+"_ENDPOINT") != ""
	if len(exporters) == 0 && endpoint != "" {
		exporters = []string{"otlp"}
	}
	for _, e := range exporters {
		if e != "none" && !slices.Contains(known, e) {
			return d, fmt.Errorf("environment: %s names %q; want %s or none", name, e, strings.Join(known, ", "))
		}
		switch e {
		case "otlp":
			t, err := ParseTarget(firstOf(endpoint, defaultEndpoint), s)
			if err != nil {
				return d, fmt.Errorf("environment: %w", err)
			}
			d.OTLP = &t
		case "console":
			d.Console = true
		case "prometheus":
			d.Listen = net.JoinHostPort(
				firstOf(os.Getenv("OTEL_EXPORTER_PROMETHEUS_HOST"), "localhost"), firstOf(os.Getenv("OTEL_EXPORTER_PROMETHEUS_PORT"), "9464"))
		case "none":
			if len(exporters) > 1 {
				return d, fmt.Errorf("environment: %s is %q; none excludes the others", name, value)
			}
		}
	}
	return d, nil
}

func list(s string) (all []string) {
	for v := range strings.SplitSeq(s, ",") {
		if v = strings.TrimSpace(v); v != "" {
			all = append(all, v)
		}
	}
	return all
}

// propagator returns the one that OTEL_PROPAGATORS asks for, by the names that
// OpenTelemetry's own registry has: tracecontext and baggage if it asks for none.
func propagator() (propagation.TextMapPropagator, error) {
	names := list(os.Getenv("OTEL_PROPAGATORS"))
	if len(names) == 0 {
		return autoprop.NewTextMapPropagator(), nil
	}
	p, err := autoprop.TextMapPropagator(names...)
	if err != nil {
		return nil, fmt.Errorf("environment: OTEL_PROPAGATORS: %w; want tracecontext, baggage, b3, b3multi, jaeger, xray, ottrace or none", err)
	}
	return p, nil
}

// propagate lets what tasks start by themselves, such as an instrumented HTTP
// client, hand their context on as OTEL_PROPAGATORS asks.
func propagate() error {
	p, err := propagator()
	if err == nil {
		otel.SetTextMapPropagator(p)
	}
	return err
}
