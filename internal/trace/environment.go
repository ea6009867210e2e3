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

// A Destination says where a signal is sent, in addition to the run's folder.
type Destination struct {
	OTLP    *Target       // nil for nowhere
	Console bool          // standard error
	Listen  string        // of metrics: the address at which they are served
	Every   time.Duration // of metrics: the interval between two deliveries
	// Asked is set if the user asked for this signal by name. Then a receiver that
	// does not accept it is reported by a warning.
	Asked bool
}

// The defaults of the specification.
const (
	defaultEndpoint = "http://localhost:4318"
	defaultInterval = time.Minute
)

// FromEnv reads OpenTelemetry's standard variables, including those that the Go SDK does
// not read: OTEL_SDK_DISABLED, OTEL_PROPAGATORS, and OTEL_TRACES_EXPORTER and
// OTEL_METRICS_EXPORTER with otlp, console, none or several of them, and prometheus for
// metrics. If a signal has no exporter it is sent by OTLP if an endpoint is set. The
// run's folder gets spans and metrics in any case, since they are a record of the run.
//
// endpoint, if it is not empty, replaces OTEL_EXPORTER_OTLP_ENDPOINT and
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT.
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

// destination reads from the environment where a signal is sent.
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

// propagator returns the propagator that OTEL_PROPAGATORS names, by the names of
// OpenTelemetry's registry; without the variable, tracecontext and baggage.
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

// setPropagator sets the global propagator to that of OTEL_PROPAGATORS. Tasks use it,
// for example through an instrumented HTTP client.
func setPropagator() error {
	p, err := propagator()
	if err == nil {
		otel.SetTextMapPropagator(p)
	}
	return err
}
