package backends_test

import (
	"testing"

	"github.com/f3f4c0de/harness/harnesstest"
	"github.com/f3f4c0de/harness/internal/backends"
)

func TestBackends(t *testing.T) {
	for _, b := range backends.All {
		t.Run(b.Name, func(t *testing.T) { harnesstest.TestBackend(t, b) })
	}
}
