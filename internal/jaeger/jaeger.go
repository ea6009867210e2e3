// Package jaeger starts a Jaeger on this machine, finds the receivers of spans that
// run here, and knows the URLs at which Jaeger shows traces.
//
// All ports are in this file. To look for another receiver, add its port here, and
// add the receiver with its check to [Receivers].
package jaeger

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// DefaultPage is where Jaeger's page is by default.
const DefaultPage Page = "http://localhost:16686"

// A Page is the URL of a Jaeger's page, without a slash at its end.
type Page string

// ParsePage parses the URL of a Jaeger's page. ok is false if s is not such a URL.
func ParsePage(s string) (page Page, ok bool) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", false
	}
	return Page(strings.TrimSuffix(s, "/")), true
}

// Trace returns the URL at which a trace is shown.
func (p Page) Trace(traceID string) string { return string(p) + "/trace/" + url.PathEscape(traceID) }

// Span returns the URL at which a trace is shown with one of its spans highlighted.
func (p Page) Span(traceID, spanID string) string {
	return p.Trace(traceID) + "?uiFind=" + url.QueryEscape(spanID)
}

// A port is a port of Jaeger, which an environment variable can change.
type port struct{ variable, usual string }

// The ports of Jaeger. Its configuration in dashboards/ uses the same variables.
var (
	queryPort  = port{"JAEGER_QUERY_PORT", "16686"}
	httpPort   = port{"JAEGER_OTLP_HTTP_PORT", "4318"}
	grpcPort   = port{"JAEGER_OTLP_GRPC_PORT", "4317"}
	healthPort = port{"JAEGER_HEALTH_PORT", "13133"}
)

// addr returns the address of the port on loopback.
func (p port) addr() string {
	if v := os.Getenv(p.variable); v != "" {
		return "127.0.0.1:" + v
	}
	return "127.0.0.1:" + p.usual
}

// get requests a page, and returns its status and first megabyte.
func get(ctx context.Context, url string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, body, err
}
