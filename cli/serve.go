package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/jaeger"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/web"
)

// serveFlags are the values of the flags of serve.
type serveFlags struct {
	listen, jaeger string
	open           bool
}

func newServeCommand(a *app) *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve DIR",
		Short: "Serve runs to a browser: reports, profiles, files",
		Long: `serve serves the run in a folder, or all runs in the folders in it, on loopback.
Each run has its report, all of its files, and the pages about its profiles, with
those of pprof. Runs that are added later appear when the page is loaded again.
Links from Jaeger to profiles lead here, too.

  harness serve run-…
  harness serve .           every run-… here`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			page, err := parseJaeger(f.jaeger)
			if err != nil {
				return err
			}
			return a.serve(cmd.Context(), args[0], page, f)
		},
	}
	cmd.Flags().StringVar(&f.listen, "listen", web.Addr, "loopback address to serve at; port 0 takes a free one")
	cmd.Flags().StringVar(&f.jaeger, "jaeger", string(jaeger.DefaultPage), "URL of the Jaeger that the pages link to")
	cmd.Flags().BoolVar(&f.open, "open", false, "open it in the browser")
	return cmd
}

// parseJaeger parses the flag --jaeger.
func parseJaeger(flag string) (jaeger.Page, error) {
	page, ok := jaeger.ParsePage(flag)
	if !ok {
		return "", fmt.Errorf("--jaeger is %q; want the URL of Jaeger's page, such as %s", flag, jaeger.DefaultPage)
	}
	return page, nil
}

// serve serves the runs in a folder until Ctrl-C.
func (a *app) serve(ctx context.Context, dir string, jaeger jaeger.Page, f serveFlags) error {
	runs := web.NewRuns(dir, jaeger)
	all, err := runs.List()
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fmt.Errorf("%s has no run in it: neither it nor a folder in it has a %s", dir, results.RunFile)
	}
	s, err := open(ctx, f.listen, runs.Handler())
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	page, what := s.URL(), fmt.Sprint(len(all), " runs")
	if len(all) == 1 {
		what = "1 run"
		if all[0].Report {
			page = strings.TrimSuffix(page, "/") + all[0].ReportURL()
		}
	}
	if f.open {
		if err := openPage(page); err != nil {
			fmt.Fprintf(a.stderr, "Warning: %v\n", err)
		}
	}
	return a.serveUntilSignal(ctx, s, fmt.Sprintf("Serving %s: %s", what, page))
}
