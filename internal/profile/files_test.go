package profile

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

// No program is started or looked at for a profile.
func TestNoFiles(t *testing.T) {
	dir := t.TempDir()
	started := filepath.Join(dir, "started")
	for _, name := range []string{"objdump", "nm", "addr2line", "llvm-symbolizer"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho $0 >>"+started+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	v := made(30, 10, "a")
	if err := v.Top(io.Discard, 5, false); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Handler(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(started); err == nil {
		t.Errorf("pprof started %s", b)
	}
}
