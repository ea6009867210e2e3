package web

import (
	"bytes"
	"embed"
	"errors"
	"html/template"
	"net/http"

	"github.com/f3f4c0de/harness/internal/inspect"
)

//go:embed pages
var files embed.FS

// stylesheet is part of every page; [pagePolicy] has its hash.
var stylesheet = func() string {
	b, err := files.ReadFile("pages/style.css")
	if err != nil {
		panic(err) // it is part of the program
	}
	return string(b)
}()

// pages are the templates, by the names that they define.
var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"stylesheet": func() template.CSS { return template.CSS(stylesheet) },
}).ParseFS(files, "pages/*.html"))

// A place says which run a page is about, and where its links lead.
type place struct {
	Run    *inspect.Run // nil for the list of runs
	Base   string       // path of the pages about the run's profiles, without a slash at its end; empty for the top
	Report string       // path of the run's report; empty if that is not served
}

// render answers a request with a page, or with the error err: 500 if it is an
// [inspect.ReadError], 404 otherwise.
func (p place) render(w http.ResponseWriter, err error, name string, page any) {
	code := http.StatusOK
	if err != nil {
		code = http.StatusNotFound
		title := "Not found"
		if unread := (*inspect.ReadError)(nil); errors.As(err, &unread) {
			code, title = http.StatusInternalServerError, "Cannot be read"
		}
		name, page = "error", struct{ Title, Error string }{title, err.Error()}
	}
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, struct {
		place
		Page any
	}{p, page}); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	setPolicy(w, pagePolicy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = b.WriteTo(w) // the client may have gone
}
