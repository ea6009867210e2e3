package child

import "os"

// Image returns a text that identifies the file that this process runs. It is equal in two
// processes of one host that run the same file, and differs if the file was replaced
// between their starts. It is empty if the system does not tell.
func Image() string { return image() }

// fileAt identifies the file at a path. It is empty if there is none.
func fileAt(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fileID(info)
}
