package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/inspect"
	"github.com/f3f4c0de/harness/internal/web"
)

// What commands have in common: they read a run, end on Ctrl-C, or serve pages.

// An action is what a command does with a run.
type action func(ctx context.Context, run *inspect.Run) error

// about returns the RunE of a command about the run in the folder that is its
// argument. parse checks the flags, and returns what to do with the run after it was
// read. An error of reading the run is one of usage: the folder is not that of a run.
func about(parse func(cmd *cobra.Command) (action, error)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		do, err := parse(cmd)
		if err != nil {
			return err
		}
		run, err := inspect.Open(args[0])
		if err != nil {
			return err
		}
		return do(cmd.Context(), run)
	}
}

// untilSignal returns a context that Ctrl-C or SIGTERM ends, for work that can be
// stopped at any moment.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}

// open serves h at an address that the user gave. The caller closes the server.
func open(ctx context.Context, addr string, h http.Handler) (*web.Server, error) {
	if err := web.CheckAddr(addr); err != nil {
		return nil, err
	}
	s, err := web.Open(ctx, addr, h)
	return s, failed(err)
}

// serveUntilSignal prints what is served, and waits for Ctrl-C or the end of ctx. It
// closes s.
func (a *app) serveUntilSignal(ctx context.Context, s *web.Server, says string) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	if _, err := fmt.Fprintf(a.stdout, "%s\nCtrl-C ends it.\n", says); err != nil {
		return failed(errors.Join(err, s.Close()))
	}
	return failed(s.Wait(ctx))
}
