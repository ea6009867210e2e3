package main

import (
	"os"
	"testing"

	"github.com/f3f4c0de/harness/executor"
)

func TestMain(m *testing.M) {
	executor.Main(tasks...)
	os.Exit(m.Run())
}

func BenchmarkSubmit(b *testing.B) {
	for _, name := range []string{"goroutines", "processes"} {
		b.Run(name, func(b *testing.B) {
			ex, err := executor.Open(b.Context(), name, executor.Config{Workers: width})
			if err != nil {
				b.Fatal(err)
			}
			defer ex.Close()
			b.ReportAllocs()
			b.ResetTimer()
			if err := submitted(b.Context(), ex, nothing, b.N, window, identity); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkPayload(b *testing.B) {
	ex, err := executor.Open(b.Context(), "processes", executor.Config{Workers: width})
	if err != nil {
		b.Fatal(err)
	}
	defer ex.Close()
	in := make([]byte, 1<<20)
	b.SetBytes(2 << 20)
	b.ReportAllocs()
	b.ResetTimer()
	if err := submitted(b.Context(), ex, echo, b.N, 4, always(in)); err != nil {
		b.Fatal(err)
	}
}
