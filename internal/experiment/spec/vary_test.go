package spec

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/internal/experiment/spec/spectest"
)

func TestVary(t *testing.T) {
	s := Settings{Workers: 3}
	if err := s.SetVary("alpha.wait=2ms,1s,0.5", kinds); err == nil {
		t.Error("a value of another type was accepted")
	}
	if err := s.SetVary("alpha.wait=2ms,1s", kinds); err != nil {
		t.Fatal(err)
	}
	spec, err := s.Resolve(kinds)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range spec.Programs {
		got = append(got, p.Label+" "+p.Params.(*spectest.Params).Wait.String())
	}
	if want := []string{"alpha_wait_2ms 2ms", "alpha_wait_1s 1s"}; !slices.Equal(got, want) {
		t.Errorf("the programs are %v; want %v", got, want)
	}
	workers := Settings{Programs: []Program{{Workload: alpha, Label: "w", Vary: map[string][]string{"workers": {"1", "4"}}}, {Workload: beta}}}
	if spec, err = workers.Resolve(kinds); err != nil {
		t.Fatal(err)
	}
	if p := spec.Programs; len(p) != 3 || p[1].Label != "w_workers_4" || p[1].Workers != 4 {
		t.Errorf("the programs are %+v; want two of alpha and one of beta", p)
	}
	for arg, want := range map[string]string{
		"alpha.n":             "want workload.name=value,value",
		"alpah.n=1,2":         "did you mean alpha",
		"alpha.m=1,2":         "did you mean n",
		"alpha.n=1":           "at least two values",
		"alpha.n=1,x":         "want a whole number",
		"alpha.workers=1,0":   "want 1 to 4096",
		"alpha.workers=1,two": "want 1 to 4096",
	} {
		if err := new(Settings).SetVary(arg, kinds); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("SetVary(%q) = %v; want an error that says %q", arg, err, want)
		}
	}
	two := Program{Workload: alpha, Vary: map[string][]string{"n": {"1", "2"}, "wait": {"1s", "2s"}}}
	if _, err := two.expand(); err == nil {
		t.Error("two parameters were varied at once")
	}
}

func TestVaryAlongAnAxis(t *testing.T) {
	dial := *kinds.Workloads[0]
	dial.Name = "dial"
	scale := func(params any, value float64) { params.(*spectest.Params).Scale = value }
	dial.Axes = []harness.Axis{
		{Name: "size", Doc: "how long", Unit: "ns", Values: []float64{1e6, 2e6}, Set: func(params any, value float64) { params.(*spectest.Params).Wait = time.Duration(value) }},
		{Name: "wait", Doc: "a share", Unit: "1", Values: []float64{0, 0.5}, Set: scale},
		{Name: "payload", Doc: "bytes", Unit: "B", Values: []float64{512, 1 << 10, 3 << 20}, Set: scale},
	}
	kinds := kinds
	kinds.Workloads = append([]*harness.Workload{&dial}, kinds.Workloads...)
	value := func(v float64) string { return fmt.Sprint(v) }
	tests := []struct {
		arg    string
		listed []string // workloads
		want   []string // label and value on the axis
	}{
		{"size", nil, []string{"dial_size_1ms " + value(1e6), "dial_size_2ms " + value(2e6)}},
		{"wait", nil, []string{"dial_wait_0 0", "dial_wait_50 0.5"}},
		{"payload", nil, []string{"dial_payload_512 512", "dial_payload_1kib 1024", "dial_payload_3mib " + value(3<<20)}},
		{"size=3ms,4ms", []string{"beta", "dial"}, []string{"beta ", "dial_size_3ms " + value(3e6), "dial_size_4ms " + value(4e6)}},
		{"dial.wait=12.5%,99%", nil, []string{"dial_wait_12_5 0.125", "dial_wait_99 0.99"}},
		{"dial.wait=1ms,2ms", nil, []string{"dial_wait_1ms ", "dial_wait_2ms "}}, // the parameter
		{"dial.payload=7,2KiB", nil, []string{"dial_payload_7 7", "dial_payload_2kib 2048"}},
		{"workers=2,3", nil, []string{"dial_workers_2 ", "dial_workers_3 "}},
		{"workers=2,3", []string{"beta"}, []string{"beta_workers_2 ", "beta_workers_3 "}},
	}
	for _, tt := range tests {
		var s Settings
		if err := s.choose(tt.listed, kinds); err != nil {
			t.Fatal(err)
		}
		if err := s.SetVary(tt.arg, kinds); err != nil {
			t.Errorf("SetVary(%q): %v", tt.arg, err)
			continue
		}
		spec, err := s.Resolve(kinds)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range spec.Programs {
			at := ""
			if p.Axis != nil {
				at = value(p.Axis.Value)
			}
			got = append(got, p.Label+" "+at)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("SetVary(%q) of %v gives %q; want %q", tt.arg, tt.listed, got, tt.want)
		}
	}
	for arg, want := range map[string]string{
		"sise":            "did you mean size",
		"n=1,2":           "for a parameter: workload.name=value,value",
		"size=1ms":        "at least two values",
		"size=1,2":        "want a duration such as 5ms",
		"wait=50%,100%":   "want a share of 0% up to less than 100%",
		"payload=1,2.5":   "want bytes, such as 4096 or 64KiB",
		"dial.sise=1,2":   "unknown parameter or axis of dial",
		"workers=1,x":     "want 1 to 4096",
		"alpha.size=1,2":  "unknown parameter of alpha",
		"dial.wait=50%,x": "want a duration such as 5ms",
	} {
		if err := new(Settings).SetVary(arg, kinds); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("SetVary(%q) = %v; want an error that says %q", arg, err, want)
		}
	}
	if err := (&Settings{Programs: []Program{{Workload: beta}}}).SetVary("size", kinds); err == nil || !strings.Contains(err.Error(), "no workload of this run has that axis") {
		t.Errorf("an axis that no workload has gives %v", err)
	}
}

func TestSetWorkers(t *testing.T) {
	var s Settings
	if err := s.SetWorkers([]int{1, 4}, kinds); err != nil {
		t.Fatal(err)
	}
	spec, err := s.Resolve(kinds)
	if err != nil || len(spec.Programs) != 4 || spec.Programs[3].Label != "beta_workers_4" || spec.Programs[3].Workers != 4 {
		t.Errorf("the programs are %+v, %v; want two of each workload", spec.Programs, err)
	}
	for _, numbers := range [][]int{{-1}, {1, 0}, {5000}} {
		if err := new(Settings).SetWorkers(numbers, kinds); err == nil {
			t.Errorf("SetWorkers(%v) was accepted", numbers)
		}
	}
}
