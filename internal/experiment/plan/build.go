package plan

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"

	"github.com/f3f4c0de/harness/internal/results"
)

// NewBuild describes the program in a file.
func NewBuild(name, path string) (results.Build, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return results.Build{}, err
	}
	sum, err := hashFile(path)
	b := results.Build{Name: name, Path: path, Executable: sum}
	if info, err := buildinfo.ReadFile(path); err == nil { // else it is no Go program, or stripped
		b.Settings = map[string]string{"go": info.GoVersion}
		for _, s := range info.Settings {
			b.Settings[s.Key] = s.Value
		}
	}
	return b, err
}

// environment returns the variables that change how Go programs run, and are
// set. Trials inherit them.
func environment() map[string]string {
	set := make(map[string]string)
	for _, name := range []string{"GOGC", "GOMEMLIMIT", "GODEBUG"} {
		if v, ok := os.LookupEnv(name); ok {
			set[name] = v
		}
	}
	return set
}

func thisVersion() (results.Version, error) {
	v := results.Version{Harness: "devel", Go: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" && info.Main.Version != "(devel)" {
			v.Harness = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Revision = s.Value
			}
		}
	}
	var err error
	v.Executable, err = thisExecutable()
	return v, err
}

// thisExecutable returns the hash of this program, which takes a while and does
// not change.
var thisExecutable = sync.OnceValues(func() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding this program: %w", err)
	}
	return hashFile(path)
})

// hashFile returns the first 16 digits of a program's SHA-256.
func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading the program: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("reading the program: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}
