package wire

import (
	"testing"
)

type benchSmall struct {
	ID, Kind int
	Ratio    float64
	Name     string
}

type benchTree struct {
	Value       int
	Name        string
	Left, Right *benchTree
}

func newBenchTree(depth int) *benchTree {
	if depth == 0 {
		return nil
	}
	return &benchTree{Value: depth, Name: "node", Left: newBenchTree(depth - 1), Right: newBenchTree(depth - 1)}
}

func benchCodec[T any](b *testing.B, name string, v T) {
	c := For[T]()
	enc, err := c.Append(nil, &v)
	if err != nil {
		b.Fatal(err)
	}
	b.Run(name+"/append", func(b *testing.B) {
		b.ReportAllocs()
		buf := make([]byte, 0, len(enc)+64)
		for b.Loop() {
			if _, err := c.Append(buf, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run(name+"/decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var got T
			if err := c.Decode(enc, &got); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCodec(b *testing.B) {
	benchCodec(b, "int", 7)
	benchCodec(b, "small struct", benchSmall{1, 2, 0.5, "name"})
	benchCodec(b, "pointer to small struct", &benchSmall{1, 2, 0.5, "name"})
	benchCodec(b, "bytes 1MiB", make([]byte, 1<<20))
	benchCodec(b, "float64 1e5", make([]float64, 1e5))
	benchCodec(b, "strings 1000", make([]string, 1000))
	benchCodec(b, "map 100", func() map[string]int {
		m := make(map[string]int)
		for i := range 100 {
			m[string(rune('a'+i))] = i
		}
		return m
	}())
	benchCodec(b, "tree 1023", newBenchTree(10))
}
