package web

import (
	"net/http"
	"sync"
)

// Metrics serves the text that it was last given. It computes nothing for a request,
// so that a request during a trial costs next to nothing. The zero Metrics serves no
// metrics. Its methods are safe for concurrent use.
type Metrics struct {
	mu   sync.Mutex
	text []byte
}

// MetricsPath is where metrics are served, below [Server.URL].
const MetricsPath = "metrics"

// Set replaces the text, which is in the OpenMetrics format and must not be changed
// afterwards.
func (m *Metrics) Set(text []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.text = text
}

// Handler serves the metrics at [MetricsPath].
func (m *Metrics) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /"+MetricsPath, func(w http.ResponseWriter, _ *http.Request) {
		m.mu.Lock()
		text := m.text
		m.mu.Unlock()
		if text == nil {
			text = []byte("# EOF\n")
		}
		w.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
		_, _ = w.Write(text) // the client may have gone
	})
	return mux
}
