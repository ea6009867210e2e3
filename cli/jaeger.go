package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/dashboards"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

func newJaegerCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "jaeger",
		Short: "Start a Jaeger on this machine, with links to profiles",
		Long: `jaeger starts the Jaeger that is on the PATH, or the one that "bash tools/build
jaeger" has built, with everything in memory and on loopback, and waits for
Ctrl-C. Then, elsewhere:

  harness run --otlp http://localhost:4318
  harness trace run-… --otlp http://localhost:4318
  harness profile run-… --http 127.0.0.1:7171    what the spans' links lead to

The ports can be moved: JAEGER_QUERY_PORT (16686), JAEGER_OTLP_HTTP_PORT (4318),
JAEGER_OTLP_GRPC_PORT (4317), JAEGER_QUERY_GRPC_PORT (16685) and
JAEGER_HEALTH_PORT (13133).`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			j, err := startJaeger(ctx)
			if err != nil {
				return failed(err)
			}
			if _, err := fmt.Fprintf(a.stdout, "Jaeger: %s (OTLP over HTTP %s, over gRPC %s)\n%sCtrl-C ends it.\n", j.page, j.otlp, j.grpc, j.note(ctx)); err != nil {
				return failed(errors.Join(err, j.close()))
			}
			return failed(j.wait(ctx))
		},
	}
}

// A jaeger is a Jaeger server that this process has started.
type jaeger struct {
	page, otlp, grpc string // URLs
	cmd              *exec.Cmd
	ended            chan struct{} // closed when it has, with err set
	err              error
	dir              string
	last             bytes.Buffer // what it said; read when it has ended
}

func envOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// findJaeger returns the path of a Jaeger.
func findJaeger() (string, error) {
	if path, err := exec.LookPath("jaeger"); err == nil {
		return path, nil
	}
	cache, err := os.UserCacheDir()
	if err == nil {
		path := filepath.Join(cache, "harness", "jaeger")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", errors.New(`there is no jaeger on the PATH. In the source of harness, "bash tools/build jaeger" builds one in 4 to 7 minutes; https://www.jaegertracing.io/download has others, version 2; or: docker compose -f dashboards/compose.yaml up`)
}

// jaegerStart bounds how long it may take until it listens; it takes 0.1 s.
const jaegerStart = time.Minute

// startJaeger starts a Jaeger and waits until it is ready.
func startJaeger(ctx context.Context) (_ *jaeger, err error) {
	path, err := findJaeger()
	if err != nil {
		return nil, err
	}
	j := &jaeger{
		page:  "http://127.0.0.1:" + envOr("JAEGER_QUERY_PORT", "16686"),
		otlp:  "http://127.0.0.1:" + envOr("JAEGER_OTLP_HTTP_PORT", "4318"),
		grpc:  "grpc://127.0.0.1:" + envOr("JAEGER_OTLP_GRPC_PORT", "4317"),
		ended: make(chan struct{}),
	}
	health := "http://127.0.0.1:" + envOr("JAEGER_HEALTH_PORT", "13133") + "/status"
	if ready(ctx, health) {
		return nil, fmt.Errorf("something answers at %s already: a Jaeger is running; end it, or use it with --otlp %s", health, j.otlp)
	}
	if j.dir, err = os.MkdirTemp("", "harness-jaeger-*"); err != nil {
		return nil, err
	}
	config, ui := filepath.Join(j.dir, "jaeger.yaml"), filepath.Join(j.dir, "ui.json")
	if err := errors.Join(os.WriteFile(config, dashboards.Jaeger, 0o600), os.WriteFile(ui, dashboards.JaegerUI, 0o600)); err != nil {
		return nil, errors.Join(err, os.RemoveAll(j.dir))
	}
	j.cmd = exec.Command(path, "--config", config)
	j.cmd.Env = append(os.Environ(), "JAEGER_UI_CONFIG="+ui, "JAEGER_HOST=127.0.0.1")
	j.cmd.Stdout, j.cmd.Stderr = io.Discard, &j.last
	j.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours to pass on
	if err := j.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", path, err), os.RemoveAll(j.dir))
	}
	go func() { // close waits for it
		j.err = j.cmd.Wait()
		close(j.ended)
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, jaegerStart, fmt.Errorf("it was not ready within %v", jaegerStart))
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ready(ctx, health) {
		select {
		case <-tick.C:
		case <-j.ended:
			return nil, errors.Join(fmt.Errorf("%s ended at once (%w):\n%s", path, j.err, tail(j.last.String())), os.RemoveAll(j.dir))
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("starting %s: %w", path, context.Cause(ctx)), j.close())
		}
	}
	return j, nil
}

func ready(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	r.Body.Close()
	return r.StatusCode == http.StatusOK
}

// placeholder is in the page of a Jaeger that was built from its Go module, which
// does not hold the real one.
const placeholder = "This is a placeholder for the Jaeger UI"

// noPage is what to say of it.
const noPage = `This Jaeger was built without its page; it answers queries only (/api/v3). For the
page put a release on the PATH: https://www.jaegertracing.io/download
`

// note returns what there is to say about the page of the Jaeger: nothing, if it
// has one.
func (j *jaeger) note(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, j.page, nil)
	if err != nil {
		return ""
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err != nil || !bytes.Contains(b, []byte(placeholder)) {
		return ""
	}
	return noPage
}

// tail is the end of what a program has said.
func tail(s string) string { return s[max(0, len(s)-2000):] }

// wait waits for ctx to end, and then ends the server.
func (j *jaeger) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return j.close()
	case <-j.ended:
		return errors.Join(fmt.Errorf("jaeger ended by itself: %w\n%s", j.err, tail(j.last.String())), os.RemoveAll(j.dir))
	}
}

// close ends the server, with force if it has to.
func (j *jaeger) close() error {
	_ = j.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	force := time.AfterFunc(5*time.Second, func() { _ = j.cmd.Process.Kill() })
	defer force.Stop()
	<-j.ended
	return os.RemoveAll(j.dir)
}

// show does what is to be done with a run when it is over: with --jaeger it
// starts a Jaeger, gives it the run's spans, prints where each trial is to be
// seen, and returns on Ctrl-C. ranErr is how the run went.
func (a *app) show(ctx context.Context, progress *progress, dir string, inJaeger bool, ranErr error) error {
	if !inJaeger || ExitCode(ranErr) == exitInterrupted {
		return ranErr
	}
	return errors.Join(ranErr, failed(a.showInJaeger(ctx, progress, dir)))
}

func (a *app) showInJaeger(ctx context.Context, progress *progress, dir string) error {
	data, err := results.Read(dir)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	j, err := startJaeger(ctx)
	if err != nil {
		return err
	}
	target, err := trace.ParseTarget(j.otlp, trace.Traces)
	if err != nil {
		return errors.Join(err, j.close())
	}
	a.send(ctx, progress, trace.Destination{OTLP: &target}, dir)
	for _, t := range data.Latest() {
		if t.TraceID != "" {
			progress.say("%-28s %s/trace/%s", t.Cell, j.page, t.TraceID)
		}
	}
	progress.say("%sJaeger: %s. Ctrl-C ends it; the run is in %s.", j.note(ctx), j.page, dir)
	return j.wait(ctx)
}
