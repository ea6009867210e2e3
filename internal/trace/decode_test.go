package trace

import (
	"bytes"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

// The fast way to decode a line and the general one agree, on whatever the fast
// one takes.
func agree(t *testing.T, d *lineDecoder, line []byte) (fast bool) {
	t.Helper()
	got, ok := d.fast(line)
	if !ok {
		return false
	}
	want, err := parseLine(line)
	if err != nil {
		t.Errorf("the fast decoder takes what is refused with %v: %s", err, line)
		return true
	}
	a, b := &tracepb.TracesData{ResourceSpans: want}, &tracepb.TracesData{ResourceSpans: got}
	if !proto.Equal(a, b) {
		t.Errorf("the two decoders differ (-general +fast):\n%s\n%s", cmp.Diff(a, b, protocmp.Transform()), line)
	}
	return true
}

func TestDecodersAgree(t *testing.T) {
	rec := newTestTrial(t, "")
	rec.Begin()
	ex := inline{rec.Observer()}
	for range 1500 {
		plainTask.Submit(rec.Context(t.Context()), ex, 0)
	}
	failTask.Submit(rec.Context(t.Context()), ex, 0)
	_, path := export(t, rec)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var d lineDecoder
	fast := 0
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	for _, line := range lines {
		if agree(t, &d, line) {
			fast++
		}
	}
	if fast < len(lines)-1 { // the trial's own spans have events
		t.Errorf("%d of %d lines were decoded the fast way; want all but one", fast, len(lines))
	}
}

func FuzzDecodersAgree(f *testing.F) {
	span := `{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","flags":257,"name":"a\"b\\\u00fc","kind":1,"startTimeUnixNano":"1","endTimeUnixNano":"2","attributes":[{"key":"k","value":{"intValue":"-3"}},{"key":"s","value":{"stringValue":"v"}}],"links":[{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","flags":257}],"status":{"message":"m","code":2}}`
	for _, spans := range []string{"", span, span + "," + span, span + ",", "{}", `{"startTimeUnixNano":"1"}`, `{"startTimeUnixNano":"-1"}`, `{"kind":01,"startTimeUnixNano":"01"}`, `{"traceId":"AF","name":"` + "\xff" + `","startTimeUnixNano":"1"}`} {
		f.Add([]byte(`{"resourceSpans":[{"resource":{},"scopeSpans":[{"scope":{"name":"x"},"spans":[` + spans + `]}],"schemaUrl":"u"}]}`))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var d lineDecoder
		agree(t, &d, b)
		agree(t, &d, b) // the second time with what the first has left
	})
}
