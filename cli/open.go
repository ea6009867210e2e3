package cli

import (
	"fmt"
	"os/exec"
	"runtime"
)

// openPage has the system open a page or a file in the user's browser. It does
// not wait for the browser, which may be the process that it starts.
func openPage(url string) error {
	opener := "xdg-open"
	if runtime.GOOS == "darwin" {
		opener = "open"
	}
	cmd := exec.Command(opener, url)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("no browser was opened: %w", err)
	}
	go func() { _ = cmd.Wait() }() // reaps it, however long it lives; the browser says itself what is wrong
	return nil
}
