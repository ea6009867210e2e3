package child

import (
	"fmt"
	"os"
)

// image identifies the file that this process runs. It is read when the process
// begins: on systems that know a program only by its path, another file may be
// there later.
var image = imageOf(ownImage)

// Image returns what identifies the file that this process runs. It is equal in
// two processes of one host that run the same file, and differs if the file was
// replaced between their starts. It is empty if the system does not tell.
func Image() string { return image }

func imageOf(path func() (string, error)) string {
	name, err := path()
	if err != nil {
		return ""
	}
	info, err := os.Stat(name)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s size %d modified %d", fileID(info), info.Size(), info.ModTime().UnixNano())
}

// thisProgram returns a path from which this very program can be started: the one
// that it was started from, or, if another file is there by now, the way by which
// the system leads to what runs.
func thisProgram() (string, error) {
	if image != "" && imageOf(os.Executable) == image {
		return os.Executable()
	}
	return ownImage()
}
