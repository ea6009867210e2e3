package metrics

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

// live makes the metrics of the canned run, and returns what they publish and
// print.
func live(t *testing.T, to trace.Destination) (l *Live, published, said *[]string) {
	t.Helper()
	published, said = new([]string), new([]string)
	run, err := results.ReadRun(canned)
	if err != nil {
		t.Fatal(err)
	}
	l, err = NewLive(t.Context(), run, to,
		func(text []byte) { *published = append(*published, string(text)) },
		func(format string, args ...any) { *said = append(*said, fmt.Sprintf(format, args...)) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, published, said
}

const canned = "../../testdata/runs/exact"

func TestLivePublishes(t *testing.T) {
	l, published, said := live(t, trace.Destination{})
	l.Refresh(t.Context(), t.TempDir()) // what is wrong with the records is told elsewhere
	if len(*published) > 0 {
		t.Errorf("without records it publishes %q", *published)
	}
	l.Refresh(t.Context(), canned)
	if len(*published) != 1 || !strings.Contains((*published)[0], `harness_trials_total{backend="processes",cell="sum-processes-w2",kind="timed",outcome="done",workload="sum"} 1`) {
		t.Errorf("it publishes %q; want the trials of the run, once", *published)
	}
	l.Send(t.Context(), canned)
	if len(*said) > 0 {
		t.Errorf("it says %q; want nothing, as there is nowhere to send to", *said)
	}
}

// Messages distinguish a receiver that takes no metrics from one that is down, and
// are printed once while the run goes on.
func TestLiveDelivers(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "")
	tests := []struct {
		name   string
		status int // of the receiver's answers
		asked  bool
		during []string // what is said while the run goes on, by its beginning
		after  string   // and when it is over, in part
	}{
		{name: "taken", status: http.StatusOK, after: " metric series sent to http://"},
		{name: "spans alone", status: http.StatusNotFound, after: " takes no metrics."},
		{name: "asked for", status: http.StatusNotFound, asked: true, during: []string{"Warning: metrics are not delivered: "}, after: "\nSend them later with: harness metrics " + canned + " --otlp http://"},
		{name: "broken", status: http.StatusBadRequest, during: []string{"Warning: metrics are not delivered: "}, after: "Warning: none of "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			requests := 0
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				requests++
				w.WriteHeader(tt.status)
			}))
			defer srv.Close()
			l, _, said := live(t, trace.Destination{OTLP: target(t, srv.URL), Asked: tt.asked})
			for range 3 {
				l.Refresh(t.Context(), canned)
			}
			if !slices.EqualFunc(*said, tt.during, strings.HasPrefix) {
				t.Errorf("during the run it says %q; want %q", *said, tt.during)
			}
			if want := map[bool]int{true: 3, false: 1}[tt.status == http.StatusOK]; requests != want {
				t.Errorf("during the run there are %d deliveries; want %d", requests, want)
			}
			*said = nil
			l.Send(t.Context(), canned)
			if len(*said) != 1 || !strings.Contains((*said)[0], tt.after) {
				t.Errorf("after the run it says %q; want %q", *said, tt.after)
			}
		})
	}
}
