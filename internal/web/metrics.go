package web

import (
	"net/http"
	"sync"
)

// Metrics serves what it was last given. Nothing is computed when it
// is asked, so that a question during a trial costs next to nothing. The zero
// Metrics has nothing yet; its methods may be called by several goroutines.
type Metrics struct {
	mu   sync.Mutex
	text []byte
}

// MetricsPath is where metrics are served, below [Server.URL].
const MetricsPath = "metrics"

// Set replaces what is served: a text in the form of OpenMetrics, which must not
// be changed afterwards.
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
		_, _ = w.Write(text) // whoever asked may have gone
	})
	return mux
}
