// Package jaeger starts a Jaeger on this machine, finds out which receivers of
// spans run here, and knows where Jaeger's page shows a trace.
//
// All ports are listed in this file. To look for another receiver, add its port
// here and its look to [Receivers].
package jaeger

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// DefaultPage is where Jaeger's page is if nobody says otherwise.
const DefaultPage Page = "http://localhost:16686"

// A Page is the URL of Jaeger's page, without a slash at its end.
type Page string

// ParsePage understands the URL of a Jaeger's page. ok is false if it is none.
func ParsePage(s string) (page Page, ok bool) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", false
	}
	return Page(strings.TrimSuffix(s, "/")), true
}

// Trace returns the URL at which a trace is shown.
func (p Page) Trace(traceID string) string { return string(p) + "/trace/" + url.PathEscape(traceID) }

// Span returns the URL at which a trace is shown with one of its spans picked
// out.
func (p Page) Span(traceID, spanID string) string {
	return p.Trace(traceID) + "?uiFind=" + url.QueryEscape(spanID)
}

// A port is one of Jaeger's, which a variable of the environment can move.
type port struct{ variable, usual string }

// The ports of a Jaeger. Its configuration in dashboards/ names the same
// variables.
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

// get returns the status and the first megabyte of a page.
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
