package jaeger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/f3f4c0de/harness/dashboards"
)

// A Server is a Jaeger that this process has started. Its exported fields do not
// change.
type Server struct {
	Page       Page   // where it shows traces
	HTTP, GRPC string // the URLs at which it takes spans

	cmd    *exec.Cmd
	ended  chan struct{} // closed when the process has ended; cmd.ProcessState says how
	dir    string        // of its configuration
	stderr bytes.Buffer  // to be read only after ended is closed
}

// Find returns the path of a Jaeger program: the one on the PATH, or else the one
// that tools/build has built.
func Find() (string, error) {
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

// startLimit is how long Jaeger may take until it is ready; it takes about 0.1 s.
const startLimit = time.Minute

// Start starts the Jaeger that [Find] finds, and waits until it is ready. It keeps
// everything in memory and listens on loopback. The caller ends it with
// [Server.Wait] or [Server.Close]. Start fails if a Jaeger already runs at these
// ports.
func Start(ctx context.Context) (_ *Server, err error) {
	path, err := Find()
	if err != nil {
		return nil, err
	}
	s := &Server{
		Page: Page("http://" + queryPort.addr()), HTTP: "http://" + httpPort.addr(), GRPC: "grpc://" + grpcPort.addr(),
		ended: make(chan struct{}),
	}
	health := "http://" + healthPort.addr() + "/status"
	if ready(ctx, health) {
		return nil, fmt.Errorf("something answers at %s already: a Jaeger is running; end it, or use it with --otlp %s", health, s.HTTP)
	}
	if s.dir, err = os.MkdirTemp("", "harness-jaeger-*"); err != nil {
		return nil, err
	}
	if err := s.command(path); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	if err := s.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", path, err), os.RemoveAll(s.dir))
	}
	go func() { // Close and Wait wait for it
		_ = s.cmd.Wait()
		close(s.ended)
	}()
	if err := s.waitReady(ctx, health); err != nil {
		return nil, fmt.Errorf("starting %s: %w", path, errors.Join(err, s.Close()))
	}
	return s, nil
}

// command writes the configuration of the server and prepares its command.
func (s *Server) command(path string) error {
	config, ui := filepath.Join(s.dir, "jaeger.yaml"), filepath.Join(s.dir, "ui.json")
	if err := errors.Join(os.WriteFile(config, dashboards.Jaeger, 0o600), os.WriteFile(ui, dashboards.JaegerUI, 0o600)); err != nil {
		return err
	}
	s.cmd = exec.Command(path, "--config", config)
	s.cmd.Env = append(os.Environ(), "JAEGER_UI_CONFIG="+ui, "JAEGER_HOST=127.0.0.1")
	s.cmd.Stdout, s.cmd.Stderr = io.Discard, &s.stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C ends this process first, which then ends the server
	return nil
}

// waitReady waits until the server answers at its health page.
func (s *Server) waitReady(ctx context.Context, health string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("it was not ready within %v", startLimit))
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ready(ctx, health) {
		select {
		case <-tick.C:
		case <-s.ended:
			return fmt.Errorf("it ended at once (%v):\n%s", s.cmd.ProcessState, tail(s.stderr.String()))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func ready(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	status, _, err := get(ctx, url)
	return err == nil && status == http.StatusOK
}

// placeholder is in the page of a Jaeger that was built from its Go module, since
// the module does not contain the real page.
const placeholder = "This is a placeholder for the Jaeger UI"

// noPage is the note about a Jaeger with the placeholder.
const noPage = `This Jaeger was built without its page; it answers queries only (/api/v3). For the
page put a release on the PATH: https://www.jaegertracing.io/download
`

// Note returns a note for the user if the server has no page, and "" otherwise. It
// takes a second at most.
func (s *Server) Note(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, b, err := get(ctx, string(s.Page))
	if err != nil || !bytes.Contains(b, []byte(placeholder)) {
		return ""
	}
	return noPage
}

// tail returns the end of a program's output.
func tail(s string) string { return s[max(0, len(s)-2000):] }

// Wait waits until ctx ends, and then ends the server. It returns an error if the
// server ends earlier.
func (s *Server) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return s.Close()
	case <-s.ended:
		return errors.Join(fmt.Errorf("jaeger ended by itself (%v):\n%s", s.cmd.ProcessState, tail(s.stderr.String())), os.RemoveAll(s.dir))
	}
}

// Close ends the server, by force after 5 seconds, waits for its end, and removes its
// files.
func (s *Server) Close() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	force := time.AfterFunc(5*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer force.Stop()
	<-s.ended
	return os.RemoveAll(s.dir)
}
