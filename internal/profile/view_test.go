package profile

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/f3f4c0de/harness/internal/core"
)

// made is a profile of two functions: main calls hot and, if it is not 0, cold.
func made(hot, cold int64, span string) *View {
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: 10_000_000,
	}
	loc := func(name string) *profile.Location {
		f := &profile.Function{ID: uint64(len(p.Function) + 1), Name: name}
		p.Function = append(p.Function, f)
		l := &profile.Location{ID: f.ID, Line: []profile.Line{{Function: f}}}
		p.Location = append(p.Location, l)
		return l
	}
	main, h, c := loc("main.main"), loc("main.hot<int>"), loc("main.cold")
	add := func(n int64, l *profile.Location) {
		if n != 0 {
			p.Sample = append(p.Sample, &profile.Sample{
				Location: []*profile.Location{l, main}, Value: []int64{n, n * 10_000_000}, Label: map[string][]string{"span_id": {span}},
			})
		}
	}
	add(hot, h)
	add(cold, c)
	return &View{p}
}

func TestViews(t *testing.T) {
	v := made(30, 10, "a")
	if v.Samples() != 40 || v.Total() != 400_000_000 || v.Unit() != "nanoseconds" {
		t.Errorf("the view has %d samples, %d %s; want 40, 400 ms", v.Samples(), v.Total(), v.Unit())
	}
	if n := v.OfSpans(map[string]bool{"b": true}).Samples(); n != 0 {
		t.Errorf("another span has %d samples; want 0", n)
	}
	if n := v.OfSpans(map[string]bool{"a": true}).Samples(); n != 40 {
		t.Errorf("its span has %d samples; want 40", n)
	}
	// One cell ran 10 tasks, the other 20, and their labels differ.
	diff, err := made(60, 0, "b").Each(20).Minus(v.Each(10))
	if err != nil || diff.Total() != -10_000_000 {
		t.Errorf("the difference a task is %d ns, %v; want -10 ms", diff.Total(), err)
	}
	var top strings.Builder
	if err := diff.Top(&top, 5, false); err != nil || !strings.Contains(top.String(), "main.cold") || strings.Contains(top.String(), "main.hot") {
		t.Errorf("the top of the difference is %q, %v; want main.cold alone", top.String(), err)
	}
}

func TestFlame(t *testing.T) {
	for _, base := range []*View{nil, made(10, 10, "b")} {
		var b strings.Builder
		if err := made(30, 10, "a").Flame(&b, Flame{Title: "A < B", Base: base, Tasks: 20}); err != nil {
			t.Fatal(err)
		}
		for dec := xml.NewDecoder(strings.NewReader(b.String())); ; {
			if _, err := dec.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("the picture is no XML: %v\n%s", err, b.String())
			}
		}
		for _, want := range []string{"A &lt; B", "main.hot&lt;int&gt;: 300ms, 15ms a task (75.0 %)", "main.cold: 100ms, 5ms a task (25.0 %)",
			"The deepest function with half of it or more is main.hot&lt;int&gt;: 300ms"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("the picture does not say %q:\n%s", want, b.String())
			}
		}
		if got := strings.Contains(b.String(), ", was 100ms"); got != (base != nil) {
			t.Errorf("the picture compares: %v; want %v", got, base != nil)
		}
	}
}

func TestFlameLabel(t *testing.T) {
	const name = "github.com/f3f4c0de/harness/internal/x.(*pending[go.shape.[]uint32,a.com/b.T]).run"
	for fits, want := range map[int]string{80: "x.(*pending[…]).run", 19: "x.(*pending[…]).run", 18: "(*pending[…]).run", 16: "run", 3: "run", 2: "", -1: ""} {
		if got := flameLabel(name, fits); got != want {
			t.Errorf("in %d characters the name is %q; want %q", fits, got, want)
		}
	}
	for _, tt := range []struct{ name, want string }{
		{"runtime.gcBgMarkWorker", "gcBg…"}, {"all", "all"}, {"main.f", "f"}, {"worker none", "work…"}, {"main.sum[go.shape.int]", "sum"}, {"main.Sum256.func1", "func1"},
	} {
		if got := flameLabel(tt.name, 5); got != tt.want {
			t.Errorf("in 5 characters %s is %q; want %q", tt.name, got, tt.want)
		}
	}
}

func TestDividedByLabel(t *testing.T) {
	v := made(30, 10, "a")
	v.p.Sample[1].Label["span_id"] = []string{"b"}
	by := v.By("span_id")
	if err := by.p.CheckValid(); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := by.Flame(&b, Flame{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"span_id a: 300ms (75.0 %)", "span_id b: 100ms (25.0 %)"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the flame graph has no %q:\n%s", want, b.String())
		}
	}
	if n := len(v.p.Sample[0].Location); n != 2 {
		t.Errorf("the view itself has a stack of %d now; want 2", n)
	}
	if got := v.Spans(); len(got) != 2 || got[0].ID != "a" || got[0].Samples != 30 || got[1].Samples != 10 {
		t.Errorf("Spans() = %+v; want a with 30, b with 10", got)
	}
}

func TestAmounts(t *testing.T) {
	for _, tt := range []struct {
		n    int64
		unit string
		want string
	}{
		{0, "nanoseconds", "0s"}, {7_996, "nanoseconds", "7.996µs"}, {215_611_234, "nanoseconds", "215.6ms"}, {-62_345_678_901, "nanoseconds", "-1m2.35s"},
		{1023, "bytes", "1023 B"}, {1536, "bytes", "1.5 KiB"}, {-12 << 20, "bytes", "-12 MiB"}, {5 << 40, "bytes", "5.12e+03 GiB"},
		{14, "count", "14"}, {3, "widgets", "3 widgets"},
	} {
		if got := amount(tt.n, tt.unit); got != tt.want {
			t.Errorf("amount(%d, %s) = %s; want %s", tt.n, tt.unit, got, tt.want)
		}
	}
}

func TestHandler(t *testing.T) {
	h, err := made(30, 10, "a").Handler(Link{"A & B", `http://x/?a="1"`})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	defer srv.Close()
	for path, want := range map[string]bool{"/": true, "/flamegraph": true, "/top": true, "/saveconfig": false, "/source": false, "/disasm": false} {
		r, err := http.Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(r.Body)
		r.Body.Close()
		if link := `href="http://x/?a=&#34;1&#34;" style="white-space:nowrap">A &amp; B</a>`; want && (err != nil || !strings.Contains(string(page), link)) {
			t.Errorf("GET %s has no link, %v; want %s", path, err, link)
		}
		if got := r.StatusCode == http.StatusOK; got != want {
			t.Errorf("GET %s = %s; want it served: %v", path, r.Status, want)
		}
	}
}

// A worker process has one worker, whatever its index is.
func TestMarkedTasksAreRegions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "1.trace")
	stop, err := Execution(path)
	if err != nil {
		t.Fatal(err)
	}
	obs := MarkTasks(core.Observer{Submit: func(c *core.Call) { c.Number = 1 }}, 1)
	_, err = burn.Submit(t.Context(), inline{obs}, 0).Wait(t.Context())
	if err := errors.Join(err, stop()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), "task burn") {
		t.Error("the execution trace has no region of the task")
	}
}

// The samples of a task say which span they belong to.
func TestLabelTasks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cpu.pb.gz")
	stop, err := CPU(path)
	if err != nil {
		t.Fatal(err)
	}
	obs := Labels{Workload: "w", Backend: "b"}.LabelTasks(core.Observer{Submit: func(c *core.Call) { c.Number = 1 }},
		func(context.Context) (string, string) { return "t1", "s1" })
	if _, err := burn.Submit(t.Context(), inline{obs}, 300_000_000).Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stop(), stop()); err != nil {
		t.Fatal(err)
	}
	v, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	of := v.OfSpans(map[string]bool{"s1": true})
	if of.Samples() == 0 {
		t.Fatalf("none of %d samples is of the task's span", v.Samples())
	}
	want := map[string]string{"trace_id": "t1", "span_id": "s1", "task": "burn", "workload": "w", "backend": "b"}
	for k, v := range want {
		if got := of.p.Sample[0].Label[k]; len(got) != 1 || got[0] != v {
			t.Errorf("label %s is %q; want %s", k, got, v)
		}
	}
	if err := os.WriteFile(path, []byte("no profile"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil {
		t.Error("reading what is no profile gave no error")
	}
}
