package workloads

import (
	"crypto/sha256"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/harnesstest"
)

func TestMain(m *testing.M) {
	var tasks []executor.AnyTask
	for _, w := range All {
		tasks = append(tasks, w.Tasks...)
	}
	harnesstest.Main(m, tasks...)
}

// small are parameters that keep a test short.
var small = map[string]any{
	"sqrt":     &sqrtParams{N: 1_100_000, Tasks: 7},
	"factor":   &factorParams{N: 500, Tasks: 9, Seed: 3},
	"sha256":   &sha256Params{Tasks: 5, Rounds: 3, Block: 5000},
	"http":     &httpParams{Pages: 9, Delay: time.Millisecond, Size: 1000},
	"file":     &fileParams{Files: 5, Size: 5000},
	"prodcons": &prodconsParams{Items: 5, Scale: 0.001, Seed: 2},
	"mixed":    &mixedParams{Tasks: 9, CPU: 100 * time.Microsecond, Wait: time.Millisecond, Payload: 1001},
}

func TestWorkloads(t *testing.T) {
	for _, w := range All {
		t.Run(w.Name, func(t *testing.T) {
			if small[w.Name] == nil {
				t.Fatal("there are no parameters for a short test of it")
			}
			harnesstest.TestWorkload(t, w, small[w.Name])
		})
	}
}

// Every oracle must find a wrong output.
func TestChecksFindErrors(t *testing.T) {
	item1, item2 := item{Index: 1, Square: 1}, item{Index: 2, Square: 4}
	other := []item{{Producer: 1, Index: 1, Square: 1}, {Producer: 1, Index: 2, Square: 4}}
	latency := make([]time.Duration, 4)
	consumes := func(items ...item) harness.Session {
		return &prodconsSession{p: prodconsParams{Items: 2}, out: consumed{append(items, other...), latency}}
	}
	mixedIn1 := mixedIn{Seed: 1, Steps: 1000, Payload: []byte("payload")}
	x := uint64(1)
	for range 1000 {
		x = xorshift(x)
	}
	tests := []struct {
		name    string
		session harness.Session
		wrong   string // part of the error; empty if the output is right
	}{
		{"sqrt right", &sqrtSession{p: sqrtParams{N: 3}, sums: []float64{999_999 + 999_998 + 999_997}}, ""},
		{"sqrt beyond the centre", &sqrtSession{p: sqrtParams{N: sqrtCentre + 2}, sums: []float64{(sqrtCentre - 1) * sqrtCentre / 2, 1, 2}}, ""},
		{"sqrt off by one", &sqrtSession{p: sqrtParams{N: 3}, sums: []float64{999_999 + 999_998 + 999_998}}, "add up to"},
		{"factor right", &factorSession{numbers: []uint32{20007}, factors: [][][]uint32{{{3, 3, 3, 3, 13, 19}}}}, ""},
		{"factor not prime", &factorSession{numbers: []uint32{20007}, factors: [][][]uint32{{{3, 3, 9, 13, 19}}}}, "want primes"},
		{"factor another product", &factorSession{numbers: []uint32{20007}, factors: [][][]uint32{{{3, 3, 3, 13, 19}}}}, "their product"},
		{"factor missing", &factorSession{numbers: []uint32{20007, 20011}, factors: [][][]uint32{{{3, 3, 3, 3, 13, 19}}}}, "1 of 2"},
		{"sha256 another hash", &sha256Session{chains: []chain{{Rounds: 1, Block: 64}}, sums: [][]byte{make([]byte, 32)}}, "chain 0"},
		{"sha256 missing", &sha256Session{chains: []chain{{Rounds: 1, Block: 64}}}, "0 chains"},
		{"http another title", &httpSession{p: httpParams{Pages: 1}, titles: []string{"Page 0"}}, "heading"},
		{"http missing", &httpSession{p: httpParams{Pages: 1}}, "0 pages"},
		{"file missing", &fileSession{p: fileParams{Files: 1, Size: 10}, dir: t.TempDir(), sums: []uint32{0}}, "no such file"},
		{"prodcons right", consumes(item1, item2), ""},
		{"prodcons twice", consumes(item1, item1), "out of order"},
		{"prodcons swapped", consumes(item2, item1), "out of order"},
		{"prodcons changed", consumes(item1, item{Index: 2, Square: 5}), "out of order"},
		{"prodcons lost", consumes(item1), "3 items"},
		{"mixed right", &mixedSession{p: mixedParams{Tasks: 1}, in: []mixedIn{mixedIn1}, out: [][]byte{blend(mixedIn1.Payload, x)}}, ""},
		{"mixed a step short", &mixedSession{p: mixedParams{Tasks: 1}, in: []mixedIn{mixedIn1}, out: [][]byte{blend(mixedIn1.Payload, x+1)}}, "task 0"},
		{"mixed missing", &mixedSession{p: mixedParams{Tasks: 1}, in: []mixedIn{mixedIn1}}, "0 tasks"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.session.Check()
			switch {
			case tt.wrong == "" && err != nil:
				t.Errorf("Check() = %v; want nil", err)
			case tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)):
				t.Errorf("Check() = %v; want an error that says %q", err, tt.wrong)
			}
		})
	}
}

func TestPlainSHA256(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 300 {
		msg := make([]byte, n)
		for i := range msg {
			msg[i] = byte(rng.Uint32())
		}
		if got, want := plainSHA256(msg), sha256.Sum256(msg); got != want {
			t.Fatalf("plainSHA256 of %d bytes = %x; want %x", n, got, want)
		}
	}
}

func TestPrimeFactors(t *testing.T) {
	tests := []struct {
		n    uint32
		want []uint32
	}{
		{2, []uint32{2}}, {20000, []uint32{2, 2, 2, 2, 2, 5, 5, 5, 5}}, {99999989, []uint32{99999989}}, {9998 * 9998, []uint32{2, 2, 4999, 4999}},
	}
	for _, tt := range tests {
		if got := primeFactors(tt.n); !slices.Equal(got, tt.want) {
			t.Errorf("primeFactors(%d) = %v; want %v", tt.n, got, tt.want)
		}
	}
}

func TestPrime(t *testing.T) {
	// 2047, 1373653 and 25326001 fool the bases before them.
	numbers := []uint32{2047, 1373653, 25326001, 99999989, 99999999, 100000000}
	for n := range uint32(100_000) {
		numbers = append(numbers, n)
	}
	for _, n := range numbers {
		if want := big.NewInt(int64(n)).ProbablyPrime(0); prime(n) != want {
			t.Errorf("prime(%d) = %v; want %v", n, !want, want)
		}
	}
}

func TestCubeRoot(t *testing.T) {
	for _, n := range []int64{0, 1, 7, 8, 26, 27, 1 << 60} {
		r := big.NewInt(int64(cubeRoot(big.NewInt(n))))
		next := new(big.Int).Add(r, big.NewInt(1))
		three := big.NewInt(3)
		if r.Exp(r, three, nil).Cmp(big.NewInt(n)) > 0 || next.Exp(next, three, nil).Cmp(big.NewInt(n)) <= 0 {
			t.Errorf("cubeRoot(%d) is not its whole part", n)
		}
	}
}

func TestSplit(t *testing.T) {
	for _, n := range []int64{0, 1, 10, 30_000_001} {
		for _, parts := range []int{1, 3, 16} {
			at := int64(0)
			for _, s := range split(n, parts) {
				if s.From != at || s.To-s.From < n/int64(parts) || s.To-s.From > n/int64(parts)+1 {
					t.Errorf("split(%d, %d) has the part %+v after %d", n, parts, s, at)
				}
				at = s.To
			}
			if at != n {
				t.Errorf("split(%d, %d) ends at %d", n, parts, at)
			}
		}
	}
}

func FuzzMixedIn(f *testing.F) {
	in := mixedIn{Seed: 1, Steps: 2, Wait: 3, Addr: "127.0.0.1:80", Payload: []byte("p")}
	b, _ := in.AppendBinary(nil)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var m mixedIn
		if m.UnmarshalBinary(b) != nil {
			return
		}
		again, err := m.AppendBinary(nil)
		if err != nil || string(again) != string(b) {
			t.Errorf("%x came back as %x, %v", b, again, err)
		}
	})
}
