// Command hashfiles prints the SHA-256 sums of the files that it is given, several at a
// time, in their order. The model is one variable of the environment:
//
//	HARNESS_BACKEND=processes go run ./examples/hashfiles *.go
package main
