package profile

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/pprof/profile"
	colprofilespb "go.opentelemetry.io/proto/slim/otlp/collector/profiles/v1development"
	commonpb "go.opentelemetry.io/proto/slim/otlp/common/v1"
	profilespb "go.opentelemetry.io/proto/slim/otlp/profiles/v1development"
	resourcepb "go.opentelemetry.io/proto/slim/otlp/resource/v1"
	"google.golang.org/protobuf/proto"
)

// OTLP are profiles in the form of OpenTelemetry's profiles signal, package
// opentelemetry.proto.profiles.v1development as of its version 1.10, which is
// alpha: a receiver of another version may take them for something else. The
// zero OTLP is empty and ready to use.
//
// A sample whose labels name a span has a link to it, which other converters
// from pprof leave out. What OTLP has one of for each profile, pprof has several
// of: a profile of two types of values becomes two.
type OTLP struct {
	data    profilespb.ProfilesData
	strings interned
	attrs   interned
	links   interned
	stacks  interned
}

// interned tells where in a table something is. What is at 0 stands for nothing.
type interned map[string]int32

// index returns where k is; add adds it to the table if it is not there.
func (t *interned) index(k string, add func()) int32 {
	i, ok := (*t)[k]
	if !ok {
		if *t == nil {
			*t = make(interned)
		}
		i = int32(len(*t) + 1)
		(*t)[k] = i
		add()
	}
	return i
}

func (o *OTLP) dictionary() *profilespb.ProfilesDictionary {
	if o.data.Dictionary == nil {
		o.data.Dictionary = &profilespb.ProfilesDictionary{
			StringTable: []string{""}, MappingTable: []*profilespb.Mapping{{}}, LocationTable: []*profilespb.Location{{}},
			FunctionTable: []*profilespb.Function{{}}, LinkTable: []*profilespb.Link{{}}, AttributeTable: []*profilespb.KeyValueAndUnit{{}},
			StackTable: []*profilespb.Stack{{}},
		}
	}
	return o.data.Dictionary
}

func (o *OTLP) string(s string) int32 {
	if s == "" {
		return 0
	}
	d := o.dictionary()
	return o.strings.index(s, func() { d.StringTable = append(d.StringTable, s) })
}

// attribute returns the index of an attribute with a string or an int64.
func (o *OTLP) attribute(key string, value any, unit string) int32 {
	d := o.dictionary()
	return o.attrs.index(fmt.Sprintf("%s\x00%T %v\x00%s", key, value, value, unit), func() {
		a := &profilespb.KeyValueAndUnit{KeyStrindex: o.string(key), UnitStrindex: o.string(unit)}
		switch v := value.(type) {
		case string:
			a.Value = &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: v}}
		case int64:
			a.Value = &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: v}}
		}
		d.AttributeTable = append(d.AttributeTable, a)
	})
}

// Add adds a profile, with a resource for each of the processes that its samples
// are of. of describes them: attributes of the resource, to which the process is
// added as service.name and service.instance.id, as in the spans.
func (o *OTLP) Add(v *View, of map[string]string) {
	byProcess := make(map[string][]*profile.Sample)
	for _, s := range v.p.Sample {
		process := strings.Join(s.Label[labelProcess], ",")
		byProcess[process] = append(byProcess[process], s)
	}
	table := o.tables(v.p)
	for _, process := range slices.Sorted(maps.Keys(byProcess)) {
		attributes := maps.Clone(of)
		if attributes == nil {
			attributes = make(map[string]string)
		}
		if role, _, _ := strings.Cut(process, "-"); role != "" {
			attributes["service.name"], attributes["service.instance.id"] = "harness-"+role, process
		}
		resource := &resourcepb.Resource{}
		for _, k := range slices.Sorted(maps.Keys(attributes)) {
			resource.Attributes = append(resource.Attributes, &commonpb.KeyValue{
				Key: k, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: attributes[k]}},
			})
		}
		scope := &profilespb.ScopeProfiles{Scope: &commonpb.InstrumentationScope{Name: "github.com/f3f4c0de/harness/internal/profile"}}
		for i := range v.p.SampleType {
			scope.Profiles = append(scope.Profiles, o.profile(v.p, i, byProcess[process], table))
		}
		o.data.ResourceProfiles = append(o.data.ResourceProfiles, &profilespb.ResourceProfiles{Resource: resource, ScopeProfiles: []*profilespb.ScopeProfiles{scope}})
	}
}

// tables adds the mappings, functions and locations of a profile, and returns
// where the locations are.
func (o *OTLP) tables(p *profile.Profile) map[*profile.Location]int32 {
	d := o.dictionary()
	mappings := make(map[*profile.Mapping]int32)
	for _, m := range p.Mapping {
		mapping := &profilespb.Mapping{MemoryStart: m.Start, MemoryLimit: m.Limit, FileOffset: m.Offset, FilenameStrindex: o.string(m.File)}
		if m.BuildID != "" {
			mapping.AttributeIndices = []int32{o.attribute("process.executable.build_id.gnu", m.BuildID, "")}
		}
		mappings[m] = int32(len(d.MappingTable))
		d.MappingTable = append(d.MappingTable, mapping)
	}
	functions := make(map[*profile.Function]int32)
	for _, f := range p.Function {
		functions[f] = int32(len(d.FunctionTable))
		d.FunctionTable = append(d.FunctionTable, &profilespb.Function{
			NameStrindex: o.string(f.Name), SystemNameStrindex: o.string(f.SystemName), FilenameStrindex: o.string(f.Filename), StartLine: f.StartLine,
		})
	}
	locations := make(map[*profile.Location]int32)
	frame := o.attribute("profile.frame.type", "go", "")
	for _, l := range p.Location {
		location := &profilespb.Location{Address: l.Address, AttributeIndices: []int32{frame}}
		if l.Mapping != nil {
			location.MappingIndex = mappings[l.Mapping]
		}
		for _, line := range l.Line {
			location.Lines = append(location.Lines, &profilespb.Line{FunctionIndex: functions[line.Function], Line: line.Line, Column: line.Column})
		}
		locations[l] = int32(len(d.LocationTable))
		d.LocationTable = append(d.LocationTable, location)
	}
	return locations
}

// profile makes that of one type of values.
func (o *OTLP) profile(p *profile.Profile, value int, samples []*profile.Sample, locations map[*profile.Location]int32) *profilespb.Profile {
	valueType := func(t *profile.ValueType) *profilespb.ValueType {
		return &profilespb.ValueType{TypeStrindex: o.string(t.Type), UnitStrindex: o.string(t.Unit)}
	}
	out := &profilespb.Profile{
		SampleType: valueType(p.SampleType[value]), TimeUnixNano: uint64(p.TimeNanos), DurationNano: uint64(p.DurationNanos), Period: p.Period,
	}
	if p.PeriodType != nil {
		out.PeriodType = valueType(p.PeriodType)
	}
	id := sha256.New()
	for _, s := range samples {
		sample := &profilespb.Sample{StackIndex: o.stack(s.Location, locations), LinkIndex: o.link(s), Values: []int64{s.Value[value]}}
		for _, k := range slices.Sorted(maps.Keys(s.Label)) {
			if sample.LinkIndex != 0 && (k == labelTraceID || k == labelSpanID) {
				continue
			}
			sample.AttributeIndices = append(sample.AttributeIndices, o.attribute(k, strings.Join(s.Label[k], ","), ""))
		}
		for _, k := range slices.Sorted(maps.Keys(s.NumLabel)) {
			for i, n := range s.NumLabel[k] {
				unit := ""
				if i < len(s.NumUnit[k]) {
					unit = s.NumUnit[k][i]
				}
				sample.AttributeIndices = append(sample.AttributeIndices, o.attribute(k, n, unit))
			}
		}
		out.Samples = append(out.Samples, sample)
		_ = binary.Write(id, binary.LittleEndian, []int64{int64(sample.StackIndex), int64(sample.LinkIndex), s.Value[value]}) // a hash takes everything
	}
	_ = binary.Write(id, binary.LittleEndian, []int64{p.TimeNanos, int64(value), int64(len(o.data.ResourceProfiles))})
	out.ProfileId = id.Sum(nil)[:16]
	return out
}

func (o *OTLP) stack(of []*profile.Location, locations map[*profile.Location]int32) int32 {
	var stack []int32
	var key []byte
	for _, l := range of {
		stack = append(stack, locations[l])
		key = binary.LittleEndian.AppendUint32(key, uint32(locations[l]))
	}
	d := o.dictionary()
	return o.stacks.index(string(key), func() { d.StackTable = append(d.StackTable, &profilespb.Stack{LocationIndices: stack}) })
}

// link returns the index of the link to a sample's span, or 0.
func (o *OTLP) link(s *profile.Sample) int32 {
	if len(s.Label[labelTraceID]) != 1 || len(s.Label[labelSpanID]) != 1 {
		return 0
	}
	traceID, err := hex.DecodeString(s.Label[labelTraceID][0])
	spanID, err2 := hex.DecodeString(s.Label[labelSpanID][0])
	if err != nil || err2 != nil || len(traceID) != 16 || len(spanID) != 8 {
		return 0
	}
	d := o.dictionary()
	return o.links.index(string(traceID)+string(spanID), func() { d.LinkTable = append(d.LinkTable, &profilespb.Link{TraceId: traceID, SpanId: spanID}) })
}

// Profiles counts those that were added, one for each type of values.
func (o *OTLP) Profiles() (n int) {
	for _, r := range o.data.ResourceProfiles {
		for _, s := range r.ScopeProfiles {
			n += len(s.Profiles)
		}
	}
	return n
}

// Encode returns the profiles as a ProfilesData message, which is also what is
// sent to a receiver.
func (o *OTLP) Encode() ([]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&o.data)
	if err != nil {
		return nil, fmt.Errorf("encoding the profiles as OTLP: %w", err)
	}
	return b, nil
}

// otlpPath is where receivers take profiles.
const otlpPath = "/v1development/profiles"

// ParseOTLPReceiver understands the URL of a receiver of OTLP profiles over HTTP
// and returns that of its profiles.
func ParseOTLPReceiver(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return "", fmt.Errorf("%q is not the URL of a receiver of profiles; want http://HOST:PORT or https://HOST:PORT: OTLP profiles, which are alpha, are sent over HTTP only", s)
	}
	if path := strings.TrimSuffix(u.Path, "/"); !strings.HasSuffix(path, otlpPath) {
		u.Path = path + otlpPath
	}
	return u.String(), nil
}

// sendTimeout bounds sending, unless OTEL_EXPORTER_OTLP_TIMEOUT does, in
// milliseconds.
const sendTimeout = 10 * time.Second

// mostAnswer bounds what is read of a receiver's answer.
const mostAnswer = 64 << 10

// Send sends the profiles to the URL that ParseOTLPReceiver returned, with the
// headers of OTEL_EXPORTER_OTLP_HEADERS. What the receiver refuses is an error.
func (o *OTLP) Send(ctx context.Context, to string) error {
	body, err := o.Encode()
	if err != nil {
		return err
	}
	timeout, headers, err := sendingFromEnv()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %v", timeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return fmt.Errorf("sending profiles to %s: %w", to, err)
	}
	defer r.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(r.Body, mostAnswer))
	if err != nil {
		return fmt.Errorf("sending profiles to %s: reading the answer: %w", to, err)
	}
	if r.StatusCode/100 != 2 {
		said := strings.TrimSpace(string(answer[:min(len(answer), 200)]))
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "text/") {
			said = ""
		}
		return fmt.Errorf("%s does not take profiles: %s%s; OTLP profiles are alpha: the Collector takes them with --feature-gates=+service.profilesSupport, Pyroscope from 2.0 on, Jaeger does not",
			to, r.Status, strings.TrimSuffix(": "+said, ": "))
	}
	var reply colprofilespb.ExportProfilesServiceResponse
	if proto.Unmarshal(answer, &reply) == nil && reply.PartialSuccess.GetRejectedProfiles() > 0 {
		return fmt.Errorf("%s refused %d of %d profiles: %s", to, reply.PartialSuccess.RejectedProfiles, o.Profiles(), reply.PartialSuccess.ErrorMessage)
	}
	return nil
}

// sendingFromEnv reads the standard variables about sending.
func sendingFromEnv() (timeout time.Duration, headers map[string]string, err error) {
	timeout = sendTimeout
	if v := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_PROFILES_TIMEOUT"), os.Getenv("OTEL_EXPORTER_OTLP_TIMEOUT")); v != "" {
		ms, err := strconv.Atoi(v)
		if err != nil || ms <= 0 {
			return 0, nil, fmt.Errorf("environment: OTEL_EXPORTER_OTLP_TIMEOUT is %q; want milliseconds, more than 0", v)
		}
		timeout = time.Duration(ms) * time.Millisecond
	}
	headers = make(map[string]string)
	for pair := range strings.SplitSeq(cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_PROFILES_HEADERS"), os.Getenv("OTEL_EXPORTER_OTLP_HEADERS")), ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		k, v, ok := strings.Cut(pair, "=")
		v, err := url.PathUnescape(strings.TrimSpace(v))
		if k = strings.TrimSpace(k); !ok || k == "" || err != nil {
			return 0, nil, errors.New("environment: OTEL_EXPORTER_OTLP_HEADERS is not understood; want name=value,name=value")
		}
		headers[k] = v
	}
	return timeout, headers, nil
}
