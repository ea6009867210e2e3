package profile

import (
	"errors"

	"github.com/google/pprof/driver"
)

// noFiles implements [driver.ObjTool] and looks at no program: a profile of Go has
// the names of its functions in it. The one of pprof starts objdump and others for
// every profile, and opens the files that the profile names.
type noFiles struct{}

var errNoFiles = errors.New("programs are not looked at")

// Open implements [driver.ObjTool].
func (noFiles) Open(string, uint64, uint64, uint64, string) (driver.ObjFile, error) {
	return nil, errNoFiles
}

// Disasm implements [driver.ObjTool].
func (noFiles) Disasm(string, uint64, uint64, bool) ([]driver.Inst, error) { return nil, errNoFiles }
