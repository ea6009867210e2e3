package workloads

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/html"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
)

// HTTP is the course's web scraping demo, on a server of its own.
var HTTP = &harness.Workload{
	Name: "http",
	Doc: `I/O-bound: get web pages and read their titles

The course's web scraper. Each task gets a page from a server that runs in its
own process and answers after a set delay, and parses its <h1>. Nearly all of
the time is waiting, so it speeds up by the requests that a model can have
under way, whatever the number of processors.`,
	Params:  &httpParams{Pages: 40, Delay: 5 * time.Millisecond, Size: 4 << 10},
	Tasks:   []executor.AnyTask{httpTask},
	Workers: always(8),
	Nominal: func(p any) time.Duration {
		q := p.(*httpParams)
		return time.Duration(q.Pages) * (q.Delay + 300*time.Microsecond)
	},
	Serve: serveHTTP,
	Open: func(_ context.Context, env harness.Env) (harness.Session, error) {
		return &httpSession{p: *env.Params.(*httpParams), addr: env.Addr, workers: env.Workers}, nil
	},
}

type httpParams struct {
	Pages int           `yaml:"pages" doc:"pages to get, one task each"`
	Delay time.Duration `yaml:"delay" doc:"time that the server takes to answer"`
	Size  int           `yaml:"size" doc:"bytes of a page"`
}

// Validate implements what Workload.Params asks for.
func (p *httpParams) Validate() error {
	if p.Delay < 0 || p.Delay > maxDelay || p.Size < 0 || p.Size > 1<<26 {
		return fmt.Errorf("delay is %v and size is %d; want 0 to %v and 0 to %d", p.Delay, p.Size, maxDelay, 1<<26)
	}
	if p.Pages < 1 || p.Pages > 1_000_000 {
		return fmt.Errorf("pages is %d; want 1 to 1,000,000", p.Pages)
	}
	return nil
}

// serveHTTP serves /page/N after the delay.
func serveHTTP(ctx context.Context, params any, ready func(addr string)) error {
	p := *params.(*httpParams)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page/{n}", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.PathValue("n"))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		if err := sleepExactly(p.Delay); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set(stampHeader, strconv.FormatInt(int64(harness.Now()), 10))
		fmt.Fprintf(w, "<!doctype html><title>Page %d</title><h1>%s</h1>", n, pageTitle(n))
		for written := 0; written < p.Size; {
			k, _ := io.WriteString(w, "<p>It was a bright cold day in April, and the clocks were striking thirteen.</p>\n")
			if k == 0 {
				return // the client has gone
			}
			written += k
		}
	})
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	ready(l.Addr().String())
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// pageTitle is what the page's heading says.
func pageTitle(n int) string { return fmt.Sprintf("Episode %d: & the number after is %d", n, n+1) }

type httpIn struct {
	URL string `json:"url"`
}

var httpTask = executor.NewTask("http", func(ctx context.Context, in httpIn) (string, error) {
	var page []byte
	var err error
	executor.Blocking(ctx, func() { page, err = httpGet(ctx, in.URL) })
	if err != nil {
		return "", err
	}
	return heading(string(page))
})

// httpClient keeps a connection for every task that a process can run at once.
var httpClient = &http.Client{
	Transport: &http.Transport{MaxIdleConns: 1024, MaxIdleConnsPerHost: 1024},
	Timeout:   maxDelay + 10*time.Second,
}

// stampHeader has the moment at which the server began to answer.
const stampHeader = "Harness-Stamp"

func httpGet(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	asked := harness.Now()
	resp, err := httpClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if ready, err := strconv.ParseInt(resp.Header.Get(stampHeader), 10, 64); err == nil {
		core.MarkReady(ctx, asked, harness.Stamp(ready))
	}
	page, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, resp.Status)
	}
	return page, err
}

// heading returns the text of the page's first <h1>.
func heading(page string) (string, error) {
	z := html.NewTokenizer(strings.NewReader(page))
	inside := false
	var text strings.Builder
	for {
		switch z.Next() {
		case html.ErrorToken:
			return "", errors.New("the page has no <h1>")
		case html.StartTagToken:
			if name, _ := z.TagName(); string(name) == "h1" {
				inside = true
			}
		case html.TextToken:
			if inside {
				text.Write(z.Text())
			}
		case html.EndTagToken:
			if name, _ := z.TagName(); inside && string(name) == "h1" {
				return text.String(), nil
			}
		}
	}
}

type httpSession struct {
	p       httpParams
	addr    string
	workers int
	titles  []string
}

func (s *httpSession) get(ctx context.Context, ex *executor.Executor, n int) ([]string, error) {
	in := make([]httpIn, n)
	for i := range in {
		in[i].URL = fmt.Sprintf("http://%s/page/%d", s.addr, i)
	}
	return submitAll(ctx, ex, httpTask, in)
}

// Warm opens the connections: as many requests as there are workers.
func (s *httpSession) Warm(ctx context.Context, ex *executor.Executor) error {
	_, err := s.get(ctx, ex, s.workers)
	return err
}

func (s *httpSession) Run(ctx context.Context, ex *executor.Executor) (err error) {
	s.titles, err = s.get(ctx, ex, s.p.Pages)
	return err
}

// Check compares with what the server was to put on each page.
func (s *httpSession) Check() (harness.Outcome, error) {
	if len(s.titles) != s.p.Pages {
		return harness.Outcome{}, fmt.Errorf("%d pages came; want %d", len(s.titles), s.p.Pages)
	}
	for i, got := range s.titles {
		if want := pageTitle(i); got != want {
			return harness.Outcome{}, fmt.Errorf("page %d has the heading %q; want %q", i, got, want)
		}
	}
	return harness.Outcome{Digest: harness.Digest(s.titles), Tasks: len(s.titles)}, nil
}

func (s *httpSession) Close() error {
	httpClient.CloseIdleConnections()
	return nil
}
