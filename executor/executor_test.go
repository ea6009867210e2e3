package executor_test

import (
	"context"
	"testing"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/harnesstest"
)

var square = harness.NewTask("square", func(_ context.Context, n int) (int, error) { return n * n, nil })

func TestMain(m *testing.M) {
	harnesstest.Main(m, square, multiply, size, exit, forever, stressed, whoami)
}
