package trace

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
)

// A Destination says where spans go beside the run's folder.
type Destination struct {
	OTLP    *Target // nil for nowhere
	Console bool    // standard error, as OTLP JSON lines
}

// defaultEndpoint is that of the specification.
const defaultEndpoint = "http://localhost:4318"

// FromEnv reads the standard variables, also those that the Go SDK leaves to
// others: OTEL_SDK_DISABLED, OTEL_TRACES_EXPORTER with otlp, console or none,
// or several of them, and OTEL_PROPAGATORS with tracecontext, baggage or none.
// Without OTEL_TRACES_EXPORTER spans are sent if an endpoint is named. The run's
// folder gets its spans in any case: they are a record of the run.
func FromEnv() (d Destination, err error) {
	if _, err := parsePropagators(os.Getenv("OTEL_PROPAGATORS")); err != nil {
		return d, err
	}
	switch v := os.Getenv("OTEL_SDK_DISABLED"); strings.ToLower(v) {
	case "", "false":
	case "true":
		return d, nil
	default:
		return d, fmt.Errorf("environment: OTEL_SDK_DISABLED is %q; want true or false", v)
	}
	endpoint := firstOf(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"))
	exporters := list(os.Getenv("OTEL_TRACES_EXPORTER"))
	if len(exporters) == 0 && endpoint != "" {
		exporters = []string{"otlp"}
	}
	for _, e := range exporters {
		switch e {
		case "otlp":
			t, err := ParseTarget(firstOf(endpoint, defaultEndpoint))
			if err != nil {
				return d, fmt.Errorf("environment: %w", err)
			}
			d.OTLP = &t
		case "console":
			d.Console = true
		case "none":
			if len(exporters) > 1 {
				return d, fmt.Errorf("environment: OTEL_TRACES_EXPORTER is %q; none excludes the others", os.Getenv("OTEL_TRACES_EXPORTER"))
			}
		default:
			return d, fmt.Errorf("environment: OTEL_TRACES_EXPORTER names %q; want otlp, console or none", e)
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

func parsePropagators(s string) (propagation.TextMapPropagator, error) {
	names := list(s)
	if len(names) == 0 {
		names = []string{"tracecontext", "baggage"}
	}
	var all []propagation.TextMapPropagator
	for _, name := range names {
		switch name {
		case "tracecontext":
			all = append(all, propagation.TraceContext{})
		case "baggage":
			all = append(all, propagation.Baggage{})
		case "none":
		default:
			return nil, fmt.Errorf("environment: OTEL_PROPAGATORS names %q; want tracecontext, baggage or none", name)
		}
	}
	if len(names) > 1 && slices.Contains(names, "none") {
		return nil, fmt.Errorf("environment: OTEL_PROPAGATORS is %q; none excludes the others", s)
	}
	return propagation.NewCompositeTextMapPropagator(all...), nil
}

// propagator is the one that OTEL_PROPAGATORS asks for.
func propagator() propagation.TextMapPropagator {
	p, err := parsePropagators(os.Getenv("OTEL_PROPAGATORS"))
	if err != nil {
		return propagation.TraceContext{} // FromEnv has refused it
	}
	return p
}

// propagate lets what tasks start by themselves, such as an instrumented HTTP
// client, hand their context on as OTEL_PROPAGATORS asks.
func propagate() { otel.SetTextMapPropagator(propagator()) }
