package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/f3f4c0de/harness/internal/machine"
)

// receiverWait bounds how long a receiver on this machine may take to answer.
const receiverWait = 5 * time.Second

// receivers looks for what could take spans on this machine, at the ports that
// harness jaeger uses. It asks for pages only, and sends nothing.
func receivers(ctx context.Context) []machine.Receiver {
	all := []machine.Receiver{
		{Name: "OTLP over gRPC", Addr: loopback("JAEGER_OTLP_GRPC_PORT", "4317")},
		{Name: "OTLP over HTTP", Addr: loopback("JAEGER_OTLP_HTTP_PORT", "4318")},
		{Name: "Jaeger", Addr: loopback("JAEGER_QUERY_PORT", "16686")},
	}
	looks := []func(context.Context, *machine.Receiver){lookAtGRPC, lookAtOTLP, lookAtJaeger}
	ctx, cancel := context.WithTimeout(ctx, receiverWait)
	defer cancel()
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { looks[i](ctx, &all[i]) })
	}
	wg.Wait()
	return all
}

func loopback(variable, port string) string {
	return net.JoinHostPort("127.0.0.1", envOr(variable, port))
}

// lookAtGRPC can tell only that something listens.
func lookAtGRPC(ctx context.Context, r *machine.Receiver) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", r.Addr)
	if err != nil {
		return
	}
	_ = c.Close() // nothing was sent
	r.Running = true
}

// lookAtOTLP knows a receiver by its refusal: spans are posted, not got.
func lookAtOTLP(ctx context.Context, r *machine.Receiver) {
	status, _, err := get(ctx, "http://"+r.Addr+"/v1/traces")
	switch {
	case err != nil:
		lookAtGRPC(ctx, r)
		if r.Running {
			r.Wrong = "something listens that does not speak HTTP"
		}
	case status == http.StatusMethodNotAllowed:
		r.Running = true
	default:
		r.Running, r.Wrong = true, fmt.Sprintf("it answers a request for /v1/traces with %d, a receiver would with %d", status, http.StatusMethodNotAllowed)
	}
}

var jaegerVersion = regexp.MustCompile(`JAEGER_VERSION = \{[^}]*"gitVersion":"([^"]*)"`)

// lookAtJaeger reads the version from Jaeger's own page.
func lookAtJaeger(ctx context.Context, r *machine.Receiver) {
	_, page, err := get(ctx, "http://"+r.Addr+"/")
	if err != nil {
		return
	}
	r.Running = true
	m := jaegerVersion.FindSubmatch(page)
	switch {
	case m == nil:
		r.Wrong = "its page is not Jaeger's"
	case len(m[1]) == 0:
		r.Says = "running, a build that does not tell its version"
	default:
		r.Says = "running, " + string(m[1])
	}
}

// get returns the status and the begin of a page.
func get(ctx context.Context, url string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, body, err
}
