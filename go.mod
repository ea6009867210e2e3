module github.com/f3f4c0de/harness

go 1.26.0

require golang.org/x/net v0.59.0
