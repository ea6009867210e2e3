//go:build !linux

package plan

import (
	"runtime"

	"github.com/f3f4c0de/harness/internal/results"
)

// thisMachine describes where this program runs, as far as the standard
// library knows.
func thisMachine() results.Machine {
	return results.Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU()}
}
