package trace

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

var idInJSON = regexp.MustCompile(`("(?:traceId|spanId|parentSpanId)":")([^"]*)"`)

// parseLine decodes a line of OTLP JSON with protobuf's own decoder, whose JSON has
// base64 where OTLP has hexadecimal ids.
func parseLine(line []byte) (*tracepb.TracesData, error) {
	var bad error
	line = idInJSON.ReplaceAllFunc(line, func(field []byte) []byte {
		m := idInJSON.FindSubmatch(field)
		id, err := hex.DecodeString(string(m[2]))
		if err != nil {
			bad = fmt.Errorf("id %q: %w", m[2], err)
		}
		return fmt.Appendf(nil, `%s%s"`, m[1], base64.StdEncoding.EncodeToString(id))
	})
	if bad != nil {
		return nil, bad
	}
	var data tracepb.TracesData
	err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(line, &data)
	return &data, err
}

// decodeLine decodes a line as [Target.SendFile] does.
func decodeLine(line []byte) (*tracepb.TracesData, error) {
	traces, err := new(ptrace.JSONUnmarshaler).UnmarshalTraces(line)
	if err != nil {
		return nil, err
	}
	spans, err := message(traces)
	return &tracepb.TracesData{ResourceSpans: spans}, err
}

// What is sent of a line is what protobuf reads in it.
func TestLinesAreSentAsTheyAre(t *testing.T) {
	rec := newTestTrial(t, "")
	rec.Begin()
	ex := inline{rec.Observer()}
	for range 1500 {
		plainTask.Submit(rec.Context(t.Context()), ex, 0)
	}
	failTask.Submit(rec.Context(t.Context()), ex, 0)
	ownTask.Submit(rec.Context(t.Context()), ex, 0)
	_, path := export(t, rec)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		got, err := decodeLine(line)
		if err != nil {
			t.Fatal(err)
		}
		want, err := parseLine(line)
		if err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(want, got) {
			t.Errorf("the two decoders differ (-protobuf +ours):\n%s\n%s", cmp.Diff(want, got, protocmp.Transform()), line)
		}
	}
}
