// Command hashfiles prints the SHA-256 sums of files, in the order of its arguments. It hashes
// several files at a time. A variable of the environment names the model:
//
//	HARNESS_BACKEND=processes go run ./examples/hashfiles *.go
package main
