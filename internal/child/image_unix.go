//go:build unix

package child

import (
	"fmt"
	"os"
	"syscall"
)

// fileID identifies a file among all files of the host.
func fileID(info os.FileInfo) string {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("device %d file %d", s.Dev, s.Ino)
	}
	return info.Name()
}
