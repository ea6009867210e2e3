// Package web serves the runs on this machine to a browser: reports, pages about
// profiles, and metrics. Whatever is served goes through one [Server], which
// listens on loopback only, answers requests for loopback only, has deadlines,
// and gives every answer a policy that says what a page may load and run.
//
// To add a page, write a template in pages/, which begins with "head" and ends
// with "foot" or "end", and a handler that calls render. A page that needs more than
// [pagePolicy] allows sets another policy of policy.go.
package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// The addresses that the configuration of other programs names: Jaeger's has
// links from spans to their profiles, and Prometheus' reads the metrics.
const (
	Addr        = "127.0.0.1:7171"
	MetricsAddr = "127.0.0.1:9464"
)

// The deadlines of a server: for a request to be read, for an answer to be
// written, for a connection without a request, and for the answers that are under
// way when the server is closed.
const (
	readTimeout     = 10 * time.Second
	writeTimeout    = 2 * time.Minute
	idleTimeout     = time.Minute
	shutdownTimeout = time.Second
)

// maxHeader bounds the bytes of a request's header.
const maxHeader = 1 << 16

// A Server serves on loopback. Its methods may be called by several goroutines.
type Server struct {
	addr  net.Addr
	http  *http.Server
	conns sync.WaitGroup // the goroutines of connections
	ended chan struct{}  // closed when no connection is taken any more, with err set
	err   error
}

// CheckAddr reports why an address is not one that a [Server] listens at: only
// those are that cannot be reached from other machines.
func CheckAddr(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not an address: %w; want one such as %s", addr, err, Addr)
	}
	if !isLoopback(host) {
		return fmt.Errorf("%q can be reached from elsewhere; want a loopback address such as %s", addr, Addr)
	}
	return nil
}

// isLoopback reports whether a host is this machine, for this machine only.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Open listens at an address that [CheckAddr] allows, of which port 0 takes a
// free one, and serves h there, behind the checks of this package, until Close is
// called. It does not wait for anything.
func Open(ctx context.Context, addr string, h http.Handler) (*Server, error) {
	if err := CheckAddr(addr); err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() { // what "localhost" is, the system says
		return nil, errors.Join(fmt.Errorf("%q is %s, which can be reached from elsewhere", addr, l.Addr()), l.Close())
	}
	s := &Server{addr: l.Addr(), ended: make(chan struct{})}
	s.http = &http.Server{
		Handler: guard(h), MaxHeaderBytes: maxHeader, DisableGeneralOptionsHandler: true, // which would pass the guard by
		ReadTimeout: readTimeout, ReadHeaderTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				s.conns.Add(1)
			case http.StateClosed, http.StateHijacked:
				s.conns.Done()
			}
		},
	}
	go func() { // Close waits for it
		defer close(s.ended)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.err = err
		}
	}()
	return s, nil
}

// URL returns the address of the server, with a slash at its end.
func (s *Server) URL() string { return fmt.Sprintf("http://%s/", s.addr) }

// Wait waits for ctx to end or the server to fail, and then closes the server. It
// returns why the server failed.
func (s *Server) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-s.ended:
	}
	return s.Close()
}

// Close ends the server: it takes no more requests, lets those under way end for
// a second, and then cuts them off. When it returns, nothing of the server runs.
// It may be called again.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) { // someone is still reading
		err = s.http.Close()
	}
	<-s.ended
	s.conns.Wait()
	return errors.Join(err, s.err)
}
