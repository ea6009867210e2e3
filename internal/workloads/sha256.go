package workloads

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/big"
	"math/bits"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor"
)

// SHA256 hashes blocks of memory.
var SHA256 = &harness.Workload{
	Name: "sha256",
	Doc: `CPU-bound: chains of SHA-256 hashes

Each task hashes a block of its own over and over, each time together with the
hash before. The processor's own instructions do the work, with next to no
allocation: what is left to differ between the models is their overhead.`,
	Params: &sha256Params{Tasks: 32, Rounds: 100, Block: 64 << 10},
	Tasks:  []executor.AnyTask{sha256Task},
	Nominal: func(p any) time.Duration {
		q := p.(*sha256Params)
		return time.Duration(q.Tasks * q.Rounds * q.Block / 2)
	},
	Open: func(_ context.Context, env harness.Env) (harness.Session, error) {
		p := *env.Params.(*sha256Params)
		s := &sha256Session{workers: env.Workers, chains: make([]chain, p.Tasks)}
		for i := range s.chains {
			s.chains[i] = chain{Seed: int64(i), Rounds: int64(p.Rounds), Block: int64(p.Block)}
		}
		return s, nil
	},
}

type sha256Params struct {
	Tasks  int `yaml:"tasks" doc:"chains, one task each"`
	Rounds int `yaml:"rounds" doc:"hashes in a chain"`
	Block  int `yaml:"block" doc:"bytes hashed in each round"`
}

// Validate implements what Workload.Params asks for.
func (p *sha256Params) Validate() error {
	if p.Rounds < 1 || p.Block < 1 || p.Block > 1<<26 {
		return fmt.Errorf("rounds is %d and block is %d; want at least 1 each, and a block of at most %d", p.Rounds, p.Block, 1<<26)
	}
	return checkTasks(p.Tasks)
}

type chain struct{ Seed, Rounds, Block int64 }

var sha256Task = executor.NewTask("sha256", func(ctx context.Context, c chain) ([]byte, error) {
	block := c.block()
	for range c.Rounds {
		sum := sha256.Sum256(block)
		copy(block, sum[:])
		executor.Checkpoint(ctx)
	}
	sum := sha256.Sum256(block)
	return sum[:], nil
})

// block makes the bytes that the chain begins with.
func (c chain) block() []byte {
	b := make([]byte, c.Block)
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], uint64(c.Seed))
	_, _ = rand.NewChaCha8(seed).Read(b) // never fails
	return b
}

type sha256Session struct {
	workers int
	chains  []chain
	sums    [][]byte
}

func (s *sha256Session) Warm(ctx context.Context, ex *executor.Executor) error {
	return warm(ctx, ex, sha256Task, s.workers, chain{Seed: -1, Rounds: 50, Block: 64 << 10})
}

func (s *sha256Session) Run(ctx context.Context, ex *executor.Executor) (err error) {
	s.sums, err = submitAll(ctx, ex, sha256Task, s.chains)
	return err
}

// Check computes one chain again, picked at random, with an implementation of
// the standard that shares nothing with the one measured. It is an order of
// magnitude slower; over the trials of a run every chain gets its turn.
func (s *sha256Session) Check() (harness.Outcome, error) {
	if len(s.sums) != len(s.chains) {
		return harness.Outcome{}, fmt.Errorf("%d chains came out; want %d", len(s.sums), len(s.chains))
	}
	i := rand.IntN(len(s.chains))
	c := s.chains[i]
	block := c.block()
	for range c.Rounds {
		sum := plainSHA256(block)
		copy(block, sum[:])
	}
	if want := plainSHA256(block); !bytes.Equal(s.sums[i], want[:]) {
		return harness.Outcome{}, fmt.Errorf("chain %d came out as %x; want %x", i, s.sums[i], want)
	}
	return harness.Outcome{Digest: harness.Digest(s.sums), Tasks: len(s.sums)}, nil
}

func (s *sha256Session) Close() error { return nil }

// plainSHA256 is SHA-256 as FIPS 180-4 section 6.2.2 writes it down.
func plainSHA256(msg []byte) [32]byte {
	h := [8]uint32{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}
	k := sha256K()
	var w [64]uint32
	block := func(m []byte) {
		for t := range 16 {
			w[t] = binary.BigEndian.Uint32(m[4*t:])
		}
		for t := 16; t < 64; t++ {
			s0 := bits.RotateLeft32(w[t-15], -7) ^ bits.RotateLeft32(w[t-15], -18) ^ w[t-15]>>3
			s1 := bits.RotateLeft32(w[t-2], -17) ^ bits.RotateLeft32(w[t-2], -19) ^ w[t-2]>>10
			w[t] = w[t-16] + s0 + w[t-7] + s1
		}
		v := h
		for t := range 64 {
			s1 := bits.RotateLeft32(v[4], -6) ^ bits.RotateLeft32(v[4], -11) ^ bits.RotateLeft32(v[4], -25)
			t1 := v[7] + s1 + (v[4]&v[5] ^ ^v[4]&v[6]) + k[t] + w[t]
			s0 := bits.RotateLeft32(v[0], -2) ^ bits.RotateLeft32(v[0], -13) ^ bits.RotateLeft32(v[0], -22)
			t2 := s0 + (v[0]&v[1] ^ v[0]&v[2] ^ v[1]&v[2])
			v = [8]uint32{t1 + t2, v[0], v[1], v[2], v[3] + t1, v[4], v[5], v[6]}
		}
		for i := range h {
			h[i] += v[i]
		}
	}
	n := len(msg)
	for ; len(msg) >= 64; msg = msg[64:] {
		block(msg)
	}
	last := append(bytes.Clone(msg), 0x80)
	for len(last)%64 != 56 {
		last = append(last, 0)
	}
	last = binary.BigEndian.AppendUint64(last, uint64(n)*8)
	for ; len(last) > 0; last = last[64:] {
		block(last)
	}
	var sum [32]byte
	for i, v := range h {
		binary.BigEndian.PutUint32(sum[4*i:], v)
	}
	return sum
}

// sha256K returns the first 32 bits of the fractional parts of the cube roots
// of the first 64 primes (FIPS 180-4 section 4.2.2).
var sha256K = sync.OnceValue(func() (k [64]uint32) {
	n := 0
	for p := int64(2); n < len(k); p++ {
		if big.NewInt(p).ProbablyPrime(0) {
			k[n] = uint32(cubeRoot(new(big.Int).Lsh(big.NewInt(p), 3*32)))
			n++
		}
	}
	return k
})

// cubeRoot returns the whole part of the cube root of n.
func cubeRoot(n *big.Int) uint64 {
	lo, hi := uint64(0), uint64(1)<<40
	for hi-lo > 1 {
		mid := (lo + hi) / 2
		m := new(big.Int).SetUint64(mid)
		if m.Exp(m, big.NewInt(3), nil).Cmp(n) <= 0 {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}
