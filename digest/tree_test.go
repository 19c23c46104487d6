package digest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// TestTreeKnown has the roots of the reference implementation of RFC 6962.
func TestTreeKnown(t *testing.T) {
	leaves := []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"}
	roots := []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
	var tree Tree
	for i, want := range roots {
		if got := tree.Root(); hex.EncodeToString(got[:]) != want || tree.Len() != int64(i) {
			t.Errorf("root of %d leaves is %x, want %s", i, got, want)
		}
		if i == len(leaves) {
			break
		}
		leaf, err := hex.DecodeString(leaves[i])
		if err != nil {
			t.Fatal(err)
		}
		tree.Add(leaf)
	}
	tree.Reset()
	if got := tree.Root(); hex.EncodeToString(got[:]) != roots[0] {
		t.Errorf("root after Reset is %x", got)
	}
}

// TestTreeAgrees compares roots and audit paths with those of transparency-dev/merkle.
func TestTreeAgrees(t *testing.T) {
	hasher := rfc6962.DefaultHasher
	factory := compact.RangeFactory{Hash: hasher.HashChildren}
	other := factory.NewEmptyRange(0)
	nodes := map[compact.NodeID][]byte{}
	var tree Tree
	p := &prover{}
	for size := 1; size <= 130; size++ {
		leaf := fmt.Appendf(nil, "leaf %d", size)
		tree.Add(leaf)
		p.leaves = append(p.leaves, LeafHash(leaf))
		if sum := LeafHash(leaf); !bytes.Equal(sum[:], hasher.HashLeaf(leaf)) {
			t.Fatalf("leaf hash %x", sum)
		}
		if err := other.Append(hasher.HashLeaf(leaf), func(id compact.NodeID, hash []byte) { nodes[id] = hash }); err != nil {
			t.Fatal(err)
		}
		want, err := other.GetRootHash(nil)
		if err != nil {
			t.Fatal(err)
		}
		root := tree.Root()
		if !bytes.Equal(root[:], want) {
			t.Fatalf("root of %d leaves is %x, want %x", size, root, want)
		}
		for index := range size {
			path := p.path(int64(index))
			raw := make([][]byte, len(path))
			for i, s := range path {
				raw[i], _ = hex.DecodeString(s)
			}
			leafHash := p.leaves[index]
			if err := proof.VerifyInclusion(hasher, uint64(index), uint64(size), leafHash[:], raw, want); err != nil {
				t.Fatalf("path of leaf %d of %d: %v", index, size, err)
			}
		}
	}
	if len(nodes) == 0 {
		t.Error("nothing was compared")
	}
}

func TestTreeAddAllocatesNothing(t *testing.T) {
	var tree Tree
	leaf := bytes.Repeat([]byte("x"), 900)
	tree.Add(leaf)
	if n := testing.AllocsPerRun(1000, func() { tree.Add(leaf) }); n > 0 {
		t.Errorf("%v allocations for a leaf", n)
	}
}
