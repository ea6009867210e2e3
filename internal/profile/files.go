package profile

import (
	"errors"

	"github.com/google/pprof/driver"
)

// noFiles implements [driver.ObjTool] without reading any executable. None is needed: a
// Go profile contains the names of its functions. pprof's own implementation runs objdump
// and other tools for every profile, and opens the files that the profile names.
type noFiles struct{}

var errNoFiles = errors.New("executables are not read")

// Open implements [driver.ObjTool].
func (noFiles) Open(string, uint64, uint64, uint64, string) (driver.ObjFile, error) {
	return nil, errNoFiles
}

// Disasm implements [driver.ObjTool].
func (noFiles) Disasm(string, uint64, uint64, bool) ([]driver.Inst, error) { return nil, errNoFiles }
