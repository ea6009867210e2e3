// Package web serves the runs on this machine to a browser: reports, pages about
// profiles, and metrics. Everything is served by a [Server]: it listens on loopback
// only, refuses requests for other hosts, has deadlines, and gives every answer a
// policy that says what a page may load and run.
//
// To add a page, write a template in pages/ that begins with "head" and ends with
// "foot" or "end", and a handler that calls render. If the page needs more than
// [pagePolicy] allows, set another policy of policy.go.
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

// The default addresses. The configuration of Jaeger in dashboards/ has links to
// Addr, and that of Prometheus reads metrics from MetricsAddr.
const (
	Addr        = "127.0.0.1:7171"
	MetricsAddr = "127.0.0.1:9464"
)

// The deadlines of a server: for reading a request, for writing an answer, for an
// idle connection, and for the answers under way when the server is closed.
const (
	readTimeout     = 10 * time.Second
	writeTimeout    = 2 * time.Minute
	idleTimeout     = time.Minute
	shutdownTimeout = time.Second
)

// maxHeader is the most bytes of a request's header.
const maxHeader = 1 << 16

// A Server serves on loopback. Its methods are safe for concurrent use.
type Server struct {
	addr  net.Addr
	http  *http.Server
	conns sync.WaitGroup // the goroutines of connections
	ended chan struct{}  // closed, after err was set, when the server accepts no more connections
	err   error
}

// CheckAddr returns an error if a [Server] does not listen at the address: it must
// be one that other machines cannot reach.
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

// isLoopback reports whether a host is localhost or a loopback address.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Open listens at an address that [CheckAddr] allows, and serves h there, behind the
// checks of this package, until Close is called. Port 0 means any free port. Open
// does not block.
func Open(ctx context.Context, addr string, h http.Handler) (*Server, error) {
	if err := CheckAddr(addr); err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() { // "localhost" may resolve to anything
		return nil, errors.Join(fmt.Errorf("%q is %s, which can be reached from elsewhere", addr, l.Addr()), l.Close())
	}
	s := &Server{addr: l.Addr(), ended: make(chan struct{})}
	s.http = &http.Server{
		Handler: guard(h), MaxHeaderBytes: maxHeader, DisableGeneralOptionsHandler: true, // its answers would not pass through guard
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

// Wait waits until ctx ends or the server fails, and then closes the server. It
// returns the error of the server.
func (s *Server) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-s.ended:
	}
	return s.Close()
}

// Close ends the server. It takes no more requests, and waits a second for those
// under way before it cuts them off. When it returns, nothing of the server runs.
// It may be called again.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) { // an answer is still being read
		err = s.http.Close()
	}
	<-s.ended
	s.conns.Wait()
	return errors.Join(err, s.err)
}
