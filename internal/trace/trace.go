// Package trace turns what happened in a run into OpenTelemetry spans, writes
// them to the run's folder and sends them to whoever collects them. It is the
// only package that knows the OpenTelemetry SDK for spans.
//
// Spans of tasks are recorded, not started: while a trial runs, a task costs
// two readings of the clock and an entry in its worker's list, and the spans
// are made when the trial is over. A span that a task's own code starts with
// the OpenTelemetry API is a child of the task's run span all the same, since
// the ids are known beforehand.
//
//	run  >  cell                                  one short trace
//	trial  (link to its cell)                     one trace per traced trial
//	  > spawn  >  worker                          worker processes
//	  > task   >  queue, ipc send, run, ipc receive
//
// To add an attribute, add its key to the list below and set it where the span
// is made. A new kind of span is one more method of Trial or workerRecorder,
// and one more term in what is expected.
package trace

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/f3f4c0de/harness/internal/core"
)

// The attributes of our own, where no semantic convention exists. Times are
// nanoseconds and say so.
const (
	keyRunID       = attribute.Key("bench.run.id")
	keyCellID      = attribute.Key("bench.cell.id")
	keyWorkload    = attribute.Key("bench.workload")
	keyBackend     = attribute.Key("bench.backend")
	keyWorkers     = attribute.Key("bench.workers")
	keyGOMAXPROCS  = attribute.Key("bench.gomaxprocs")
	keyTrialKind   = attribute.Key("bench.trial.kind")
	keyTrialPart   = attribute.Key("bench.trial.part")
	keyWallNS      = attribute.Key("bench.wall_ns")
	keyCPUNS       = attribute.Key("bench.cpu_ns")
	keyRounds      = attribute.Key("bench.rounds")
	keySeed        = attribute.Key("bench.seed")
	keyStatus      = attribute.Key("bench.status")
	keyTaskName    = attribute.Key("bench.task.name")
	keyTaskNumber  = attribute.Key("bench.task.number")
	keyTaskQueueNS = attribute.Key("bench.task.queue_ns")
	keyTaskRunNS   = attribute.Key("bench.task.run_ns")
	keyTaskIPCNS   = attribute.Key("bench.task.ipc_ns")
	keyWorkerIndex = attribute.Key("bench.worker.index")
	keyWorkerTasks = attribute.Key("bench.worker.tasks")

	keyProfileID = attribute.Key("pyroscope.profile.id") // what Grafana looks for
)

// scope is the instrumentation scope of every span that is made here.
var scope = instrumentation.Scope{Name: "github.com/f3f4c0de/harness/internal/trace"}

// Identity tells which process spans come from.
type Identity struct {
	RunID   string
	Role    string // "run", "trial", "worker"
	Version string // of the program
}

// resource describes this process. OTEL_SERVICE_NAME and
// OTEL_RESOURCE_ATTRIBUTES have the last word, as everywhere.
func (id Identity) resource(ctx context.Context) (*resource.Resource, error) {
	name := "harness"
	if id.Role != "run" {
		name += "-" + id.Role
	}
	exe, err := os.Executable()
	if err != nil {
		exe = os.Args[0]
	}
	r, err := resource.New(ctx,
		resource.WithSchemaURL(semconv.SchemaURL),
		resource.WithTelemetrySDK(),
		resource.WithHost(),
		resource.WithHostID(),
		resource.WithAttributes(
			semconv.ServiceName(name),
			semconv.ServiceVersion(id.Version),
			semconv.ServiceInstanceID(fmt.Sprintf("%s/%s/%d", id.RunID, id.Role, os.Getpid())),
			semconv.ProcessPID(os.Getpid()),
			semconv.ProcessParentPID(os.Getppid()),
			semconv.ProcessExecutableName(filepath.Base(exe)),
			semconv.ProcessRuntimeName("go"),
			semconv.ProcessRuntimeVersion(runtime.Version()),
		),
		resource.WithFromEnv(),
	)
	if r == nil {
		return nil, fmt.Errorf("describing this process for its spans: %w", err)
	}
	return r, nil // a host without an id is no reason to have no spans
}

// An Epoch is the wall-clock time, in nanoseconds, at which the host's
// monotonic clock stood at zero. All processes of a run use that of the first,
// so that a child never seems to begin before its parent.
type Epoch int64

// NewEpoch compares the two clocks.
func NewEpoch() Epoch {
	return Epoch(time.Now().UnixNano() - int64(core.Now()))
}

func (e Epoch) time(s core.Stamp) time.Time { return time.Unix(0, int64(e)+int64(s)) }

// ids makes span ids that can be known before the span is made: that of thing
// number n.
type ids struct{ seed uint64 }

func newIDs() ids { return ids{random64()} }

func (i ids) span(n uint64) oteltrace.SpanID { return spanID(i.seed + n) }

// The spans below that of a task.
const (
	spanQueue = 1 + iota
	spanSend
	spanRun
	spanReceive
)

// below returns the id of the k-th span below one. All processes that make spans
// of a task know them so.
func below(id oteltrace.SpanID, k uint64) oteltrace.SpanID {
	return spanID(binary.BigEndian.Uint64(id[:]) + k)
}

func spanID(x uint64) (id oteltrace.SpanID) {
	binary.BigEndian.PutUint64(id[:], max(1, mix64(x)))
	return id
}

// mix64 is the finalizer of splitmix64, a bijection: ids do not collide.
func mix64(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func random64() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

func newTraceID() (id oteltrace.TraceID) {
	rand.Read(id[:])
	return id
}

func newSpanID() oteltrace.SpanID { return newIDs().span(0) }

func spanContext(t oteltrace.TraceID, s oteltrace.SpanID) oteltrace.SpanContext {
	return oteltrace.NewSpanContext(oteltrace.SpanContextConfig{TraceID: t, SpanID: s, TraceFlags: oteltrace.FlagsSampled})
}

// traceparent writes the span context as the W3C header of that name.
func traceparent(sc oteltrace.SpanContext) string {
	c := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(oteltrace.ContextWithSpanContext(context.Background(), sc), c)
	return c["traceparent"]
}

func parseTraceparent(s string) oteltrace.SpanContext {
	c := propagation.MapCarrier{"traceparent": s}
	return oteltrace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), c))
}

// IDs returns the ids of the span that ctx is in, in hexadecimal; they are empty
// if it is in none.
func IDs(ctx context.Context) (traceID, spanID string) {
	return idsOf(oteltrace.SpanContextFromContext(ctx))
}

// ParseIDs returns those of a traceparent.
func ParseIDs(traceparent string) (traceID, spanID string) {
	return idsOf(parseTraceparent(traceparent))
}

func idsOf(sc oteltrace.SpanContext) (traceID, spanID string) {
	if !sc.IsValid() {
		return "", ""
	}
	return sc.TraceID().String(), sc.SpanID().String()
}

// profileID is the attribute by which Grafana and Pyroscope find the profile of
// a span: the label span_id of its samples.
func profileID(sc oteltrace.SpanContext) attribute.KeyValue {
	return keyProfileID.String(sc.SpanID().String())
}

// A stub is a span in the making.
type stub = tracetest.SpanStub

// A stash keeps the spans that a program ends, for the time when nothing is
// measured any more.
type stash struct {
	mu    sync.Mutex
	spans []sdktrace.ReadOnlySpan
}

func (s *stash) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

func (s *stash) OnEnd(span sdktrace.ReadOnlySpan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spans = append(s.spans, span)
}

func (s *stash) Shutdown(context.Context) error   { return nil }
func (s *stash) ForceFlush(context.Context) error { return nil }

// take empties the stash.
func (s *stash) take() []sdktrace.ReadOnlySpan {
	s.mu.Lock()
	defer s.mu.Unlock()
	spans := s.spans
	s.spans = nil
	return spans
}

// firstLine is what fits into a span's status.
func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}
