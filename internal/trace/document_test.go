package trace

import (
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"

	"github.com/f3f4c0de/harness/internal/core"
)

func TestAttributesAreDescribed(t *testing.T) {
	for _, s := range spanDocs {
		for _, k := range s.keys {
			if !slices.ContainsFunc(keyDocs, func(d keyDoc) bool { return d.key == k }) {
				t.Errorf("attribute %s of span %s is not described", k, s.name)
			}
		}
	}
}

// checkDocumented fails for a span, or an attribute on it, that Document does not
// have.
func checkDocumented(t *testing.T, s aSpan) {
	t.Helper()
	first, _, _ := strings.Cut(s.Name, " ")
	for _, d := range spanDocs {
		name, more, _ := strings.Cut(d.name, " ")
		if name != first || (strings.HasPrefix(s.Name, "ipc ") && s.Name != d.name) || (name == "run" && (more == "") != (s.Name == "run")) {
			continue
		}
		for _, a := range s.Attributes {
			if !slices.ContainsFunc(d.keys, func(k attribute.Key) bool { return string(k) == a.Key }) {
				t.Errorf("span %s has the attribute %s, which is not documented", s.Name, a.Key)
			}
		}
		return
	}
	t.Errorf("span %s is not documented", s.Name)
}

// What a trial with a worker process writes is documented.
func TestEverythingIsDocumented(t *testing.T) {
	rec := newTestTrial(t, "")
	watch, hooks := aWorker(t, rec)
	rec.Begin()
	plainTask.Submit(rec.Context(t.Context()), far{rec.Observer(), hooks, allTasks}, 0)
	failTask.Submit(rec.Context(t.Context()), inline{rec.Observer()}, 0)
	if err := hooks.Exit(func(topic string, payload []byte) error { watch.Message(0, topic, payload); return nil }); err != nil {
		t.Fatal(err)
	}
	watch.Exited(core.ProcessExit{})
	_, path := export(t, rec)
	for _, s := range readSpans(t, path) {
		checkDocumented(t, s)
	}
}
