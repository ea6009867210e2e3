package jaeger

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/f3f4c0de/harness/internal/machine"
)

// receiverWait bounds how long a receiver on this machine may take to answer.
const receiverWait = 5 * time.Second

// Receivers checks which receivers of spans, and which Jaeger, run on this machine
// at the ports of [Start]. It only requests pages, sends no span, and takes 5
// seconds at most.
func Receivers(ctx context.Context) []machine.Receiver {
	all := []machine.Receiver{
		{Name: "OTLP over gRPC", Addr: grpcPort.addr()},
		{Name: "OTLP over HTTP", Addr: httpPort.addr()},
		{Name: "Jaeger", Addr: queryPort.addr()},
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

// lookAtGRPC checks only whether something listens.
func lookAtGRPC(ctx context.Context, r *machine.Receiver) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", r.Addr)
	if err != nil {
		return
	}
	_ = c.Close() // nothing was sent
	r.Running = true
}

// lookAtOTLP checks for the status with which a receiver refuses a GET request: spans
// are sent by POST.
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
		r.Running, r.Wrong = true, fmt.Sprintf("it answers a request for /v1/traces with %d; a receiver answers with %d", status, http.StatusMethodNotAllowed)
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
