package idmap_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/cloudtraceservice/cts/store/internal/idmap"
)

const sample = "0190b6e4-8f3a-7c21-9d5e-6f70a1b2c3d4"

// spellings are ids that look like the sample and are other ids.
var spellings = []string{
	"",
	strings.ToUpper(sample),
	"0190B6e4-8f3a-7c21-9d5e-6f70a1b2c3d4",
	strings.ReplaceAll(sample, "-", ""),
	"{" + sample + "}",
	"urn:uuid:" + sample,
	sample[:35],
	sample + " ",
	"0190b6e48-f3a-7c21-9d5e-6f70a1b2c3d4",
	"0190b6e4_8f3a_7c21_9d5e_6f70a1b2c3d4",
	"0190b6e4-8f3a-7c21-9d5e-6f70a1b2c3dg",
	"0190b6e4-8f3a-7c21-9d5e-6f70a1b2c3d\xff",
	"-190b6e4-8f3a-7c21-9d5e-6f70a1b2c3d4",
	"\x01\x90\xb6\xe4\x8f\x3a\x7c\x21\x9d\x5e\x6f\x70\xa1\xb2\xc3\xd4",
}

func TestSpellingsAreDifferentIDs(t *testing.T) {
	var m idmap.Map
	ids := append([]string{sample}, spellings...)
	for i, id := range ids {
		if pos, ok := m.Get(id); ok {
			t.Fatalf("%q is there already, at %d", id, pos)
		}
		m.Put(id, uint64(i+1))
	}
	if m.Len() != len(ids) {
		t.Fatalf("Len = %d, want %d", m.Len(), len(ids))
	}
	for i, id := range ids {
		if pos, ok := m.Get(id); !ok || pos != uint64(i+1) {
			t.Errorf("Get(%q) = %d, %t, want %d", id, pos, ok, i+1)
		}
		if pos, ok := m.GetBytes([]byte(id)); !ok || pos != uint64(i+1) {
			t.Errorf("GetBytes(%q) = %d, %t, want %d", id, pos, ok, i+1)
		}
	}
}

func TestZeroMapIsEmpty(t *testing.T) {
	var m idmap.Map
	for _, id := range []string{sample, "x"} {
		if _, ok := m.Get(id); ok {
			t.Errorf("%q found in an empty map", id)
		}
		m.Delete(id)
	}
	if m.Len() != 0 {
		t.Errorf("Len = %d, want 0", m.Len())
	}
}

func TestPutBytesKeepsNothing(t *testing.T) {
	var m idmap.Map
	for _, id := range []string{sample, "not-a-uuid"} {
		b := []byte(id)
		m.PutBytes(b, 7)
		clear(b)
		if pos, ok := m.Get(id); !ok || pos != 7 {
			t.Errorf("Get(%q) = %d, %t after its bytes were cleared, want 7", id, pos, ok)
		}
	}
}

// TestAgainstMap runs random operations on a Map and on an ordinary map.
func TestAgainstMap(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	ids := append([]string{sample}, spellings...)
	for range 200 {
		ids = append(ids, randomUUID(rng), fmt.Sprintf("id-%d", rng.IntN(1000)))
	}
	var m idmap.Map
	want := map[string]uint64{}
	for range 20_000 {
		id := ids[rng.IntN(len(ids))]
		switch rng.IntN(4) {
		case 0:
			pos := rng.Uint64()
			m.Put(id, pos)
			want[id] = pos
		case 1:
			pos := rng.Uint64()
			m.PutBytes([]byte(id), pos)
			want[id] = pos
		case 2:
			m.Delete(id)
			delete(want, id)
		}
		wantPos, wantOK := want[id]
		if pos, ok := m.Get(id); pos != wantPos || ok != wantOK {
			t.Fatalf("Get(%q) = %d, %t, want %d, %t", id, pos, ok, wantPos, wantOK)
		}
		if m.Len() != len(want) {
			t.Fatalf("Len = %d, want %d", m.Len(), len(want))
		}
	}
}

// FuzzTwoIDs checks that two ids are one key only if they are equal.
func FuzzTwoIDs(f *testing.F) {
	for _, s := range spellings {
		f.Add(sample, s)
	}
	f.Add(sample, sample)
	f.Fuzz(func(t *testing.T, a, b string) {
		var m idmap.Map
		m.Put(a, 1)
		if _, ok := m.Get(b); ok != (a == b) {
			t.Fatalf("with %q put, %q is found: %t", a, b, ok)
		}
		if _, ok := m.GetBytes([]byte(b)); ok != (a == b) {
			t.Fatalf("with %q put, the bytes of %q are found: %t", a, b, ok)
		}
		m.PutBytes([]byte(b), 2)
		if pos, _ := m.Get(a); (pos == 2) != (a == b) {
			t.Fatalf("after %q was put, %q has %d", b, a, pos)
		}
	})
}

func TestAllocations(t *testing.T) {
	var m idmap.Map
	id := []byte(sample)
	m.PutBytes(id, 1)
	m.Put("not-a-uuid", 2)
	got := testing.AllocsPerRun(100, func() {
		m.Put(sample, 3)
		m.PutBytes(id, 4)
		m.Get(sample)
		m.GetBytes(id)
		m.Get("not-a-uuid")
	})
	if got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}

func randomUUID(rng *rand.Rand) string {
	var u uuid.UUID
	binary.LittleEndian.PutUint64(u[:], rng.Uint64())
	binary.LittleEndian.PutUint64(u[8:], rng.Uint64())
	return u.String()
}

func BenchmarkPut(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	ids := make([]string, 1<<17)
	for i := range ids {
		ids[i] = randomUUID(rng)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var m idmap.Map
	for i := 0; b.Loop(); i++ {
		if i%len(ids) == 0 {
			m = idmap.Map{}
		}
		m.Put(ids[i%len(ids)], uint64(i))
	}
}

func BenchmarkGet(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	var m idmap.Map
	ids := make([]string, 1<<17)
	for i := range ids {
		ids[i] = randomUUID(rng)
		m.Put(ids[i], uint64(i))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		if _, ok := m.Get(ids[i%len(ids)]); !ok {
			b.Fatal("lost")
		}
	}
}
