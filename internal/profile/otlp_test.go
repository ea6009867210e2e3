package profile

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	colprofilespb "go.opentelemetry.io/proto/slim/otlp/collector/profiles/v1development"
	profilespb "go.opentelemetry.io/proto/slim/otlp/profiles/v1development"
	"google.golang.org/protobuf/proto"
)

// described is a sample with its stack, its labels and its values, as text.
func described(v *View) (all []string) {
	for _, s := range v.p.Sample {
		var b strings.Builder
		for _, l := range s.Location {
			fmt.Fprintf(&b, "%x", l.Address)
			for _, line := range l.Line {
				fmt.Fprintf(&b, " %s:%d", line.Function.Name, line.Line)
			}
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%v %v %v %v", s.Label, s.NumLabel, s.NumUnit, s.Value)
		all = append(all, b.String())
	}
	slices.Sort(all)
	return all
}

// back reads the samples of a message as described does those of a profile, of
// which each type of values was made a profile.
func back(t *testing.T, b []byte, types int) (all []string) {
	t.Helper()
	var data profilespb.ProfilesData
	if err := proto.Unmarshal(b, &data); err != nil {
		t.Fatal(err)
	}
	d := data.Dictionary
	str := func(i int32) string { return d.StringTable[i] }
	for _, r := range data.ResourceProfiles {
		profiles := r.ScopeProfiles[0].Profiles
		if len(profiles) != types {
			t.Fatalf("there are %d profiles of a process; want %d", len(profiles), types)
		}
		for i, s := range profiles[0].Samples {
			var b strings.Builder
			for _, at := range d.StackTable[s.StackIndex].LocationIndices {
				l := d.LocationTable[at]
				fmt.Fprintf(&b, "%x", l.Address)
				for _, line := range l.Lines {
					fmt.Fprintf(&b, " %s:%d", str(d.FunctionTable[line.FunctionIndex].NameStrindex), line.Line)
				}
				b.WriteString("; ")
			}
			labels, numbers, units := map[string][]string{}, map[string][]int64{}, map[string][]string{}
			for _, at := range s.AttributeIndices {
				a := d.AttributeTable[at]
				k := str(a.KeyStrindex)
				if a.Value.GetStringValue() != "" {
					labels[k] = append(labels[k], a.Value.GetStringValue())
				} else {
					numbers[k] = append(numbers[k], a.Value.GetIntValue())
					if unit := str(a.UnitStrindex); unit != "" {
						units[k] = append(units[k], unit)
					}
				}
			}
			if l := d.LinkTable[s.LinkIndex]; s.LinkIndex != 0 {
				labels["trace_id"], labels["span_id"] = []string{hex.EncodeToString(l.TraceId)}, []string{hex.EncodeToString(l.SpanId)}
			}
			var values []int64
			for _, p := range profiles {
				values = append(values, p.Samples[i].Values...)
			}
			fmt.Fprintf(&b, "%v %v %v %v", labels, numbers, units, values)
			all = append(all, b.String())
		}
	}
	slices.Sort(all)
	return all
}

// What is exported says what the profile said: stacks, labels, values; a span is
// a link.
func TestOTLPRoundTrip(t *testing.T) {
	set := collect(t, Labels{Workload: "w", Backend: "b", TraceID: strings.Repeat("0af76519", 4), SpanID: "b7ad6b7169203331"})
	for _, kind := range Kinds {
		merged, err := Merge(kind, "cell", []Part{{"trial", set}, {"worker-0", set}})
		if err != nil {
			t.Fatal(err)
		}
		v := &View{parse(t, merged)}
		var o OTLP
		o.Add(v, map[string]string{"bench.cell.id": "cell"})
		b, err := o.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(described(v), back(t, b, len(v.p.SampleType))); d != "" {
			t.Errorf("%s (-profile +OTLP):\n%s", kind, d)
		}
		var data profilespb.ProfilesData
		if err := proto.Unmarshal(b, &data); err != nil {
			t.Fatal(err)
		}
		if links := len(data.Dictionary.LinkTable); (kind == "cpu") != (links == 2) {
			t.Errorf("%s: the table of links has %d entries; want that of nothing, and that of the span of CPU samples", kind, links)
		}
		for _, r := range data.ResourceProfiles {
			p := r.ScopeProfiles[0].Profiles[0]
			if len(p.ProfileId) != 16 || len(r.Resource.Attributes) != 3 {
				t.Errorf("%s: the profile's id is %x, its resource has %v", kind, p.ProfileId, r.Resource.Attributes)
			}
			if kind == "cpu" && (p.Period != 10_000_000 || data.Dictionary.StringTable[p.PeriodType.TypeStrindex] != "cpu" || p.DurationNano == 0) {
				t.Errorf("the period is %d %v, the duration %d", p.Period, p.PeriodType, p.DurationNano)
			}
		}
	}
}

func TestOTLPSend(t *testing.T) {
	var got []byte
	var header http.Header
	answer := func(http.ResponseWriter) {}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1development/profiles" {
			http.NotFound(w, r)
			return
		}
		got, _ = io.ReadAll(r.Body)
		header = r.Header
		answer(w)
	}))
	defer srv.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20x, a=b")
	to, err := ParseOTLPReceiver(srv.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	var o OTLP
	o.Add(made(30, 10, "a"), nil)
	if err := o.Send(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	var req colprofilespb.ExportProfilesServiceRequest // as a receiver reads it
	if err := proto.Unmarshal(got, &req); err != nil || len(req.ResourceProfiles) != 1 || len(req.Dictionary.StackTable) != 3 {
		t.Errorf("the receiver got %v, %v; want a resource and two stacks", &req, err)
	}
	if header.Get("Content-Type") != "application/x-protobuf" || header.Get("Authorization") != "Basic x" || header.Get("A") != "b" {
		t.Errorf("the headers were %v", header)
	}

	answer = func(w http.ResponseWriter) {
		b, _ := proto.Marshal(&colprofilespb.ExportProfilesServiceResponse{
			PartialSuccess: &colprofilespb.ExportProfilesPartialSuccess{RejectedProfiles: 1, ErrorMessage: "too old"},
		})
		w.Write(b)
	}
	for _, tt := range []struct{ to, timeout, want string }{
		{to, "", "refused 1 of 2 profiles: too old"},
		{srv.URL, "", "404 Not Found: 404 page not found; OTLP profiles are alpha: the Collector takes them with --feature-gates"},
		{to, "soon", `OTEL_EXPORTER_OTLP_TIMEOUT is "soon"; want milliseconds`},
	} {
		t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", tt.timeout)
		if err := o.Send(t.Context(), tt.to); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Send to %s = %v; want %q", tt.to, err, tt.want)
		}
	}

	// One that does not answer is not waited for.
	hang := make(chan struct{})
	answer = func(http.ResponseWriter) { <-hang }
	defer close(hang)
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "20")
	if err := o.Send(t.Context(), to); err == nil || !strings.Contains(err.Error(), "no answer within 20ms") {
		t.Errorf("Send to one that hangs = %v", err)
	}
	for _, bad := range []string{"localhost:4318", "grpc://localhost:4317", "http://", "http://user@x"} {
		if _, err := ParseOTLPReceiver(bad); err == nil || !strings.Contains(err.Error(), "over HTTP only") {
			t.Errorf("ParseOTLPReceiver(%q) = %v", bad, err)
		}
	}
}
