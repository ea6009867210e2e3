package cli

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A Jaeger without its page is told from one that has it.
func TestJaegerNote(t *testing.T) {
	for body, want := range map[string]string{
		"<h1>Not it</h1><p>This is a placeholder for the Jaeger UI home page.": "built without its page",
		"<title>Jaeger UI</title>": "",
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
		if got := (&jaeger{page: s.URL}).note(t.Context()); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("of %q the note is %q; want %q in it", body, got, want)
		}
		s.Close()
	}
}
