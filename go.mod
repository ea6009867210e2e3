module github.com/f3f4c0de/harness

go 1.26.0
