package cli

import (
	"fmt"
	"os/exec"
	"runtime"
)

// openPage opens a page or a file in the user's browser by the system's opener. It
// does not wait for it, since the opener may be the browser itself.
func openPage(url string) error {
	opener := "xdg-open"
	if runtime.GOOS == "darwin" {
		opener = "open"
	}
	cmd := exec.Command(opener, url)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("no browser was opened: %w", err)
	}
	go func() { _ = cmd.Wait() }() // reaps the process when it ends; the browser shows its own errors
	return nil
}
