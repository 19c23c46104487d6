package digest

import (
	"crypto/sha256"
	"hash"
	"math/bits"
)

// Prefixes of what is hashed, so that a leaf is never taken for a node (RFC 6962,
// section 2.1).
const (
	leafPrefix = 0x00
	nodePrefix = 0x01
)

// LeafHash returns the Merkle leaf hash of a trace (RFC 6962, section 2.1): the SHA-256
// of a zero byte and the trace's exact bytes in its trace file.
func LeafHash(leaf []byte) [sha256.Size]byte {
	h := sha256.New()
	_, _ = h.Write([]byte{leafPrefix})
	_, _ = h.Write(leaf)
	return [sha256.Size]byte(h.Sum(nil))
}

// hashNode returns the hash of the node above two others.
func hashNode(left, right *[sha256.Size]byte) [sha256.Size]byte {
	var node [1 + 2*sha256.Size]byte
	node[0] = nodePrefix
	copy(node[1:], left[:])
	copy(node[1+sha256.Size:], right[:])
	return sha256.Sum256(node[:])
}

// Tree computes the Merkle root of a trace file while its traces pass by (RFC 6962,
// section 2.1, with SHA-256). The zero Tree is empty and ready. It holds one hash for
// every bit of the number of leaves, never a leaf. A Tree is not safe for concurrent
// use and must not be copied after the first Add.
type Tree struct {
	size   uint64
	border [][sha256.Size]byte // roots of the perfect subtrees, the largest first
	hash   hash.Hash
	leaf   [1 + sha256.Size]byte // the prefix, and room for a hash: Add allocates nothing
}

// Add appends a leaf. The tree keeps and changes nothing of it.
func (t *Tree) Add(leaf []byte) {
	if t.hash == nil {
		t.hash = sha256.New()
		t.border = make([][sha256.Size]byte, 0, 32)
		t.leaf[0] = leafPrefix
	}
	t.hash.Reset()
	_, _ = t.hash.Write(t.leaf[:1])
	_, _ = t.hash.Write(leaf)
	sum := [sha256.Size]byte(t.hash.Sum(t.leaf[:1])[1:])
	t.addHash(sum)
}

// addHash appends a leaf by its hash.
func (t *Tree) addHash(sum [sha256.Size]byte) {
	for range bits.TrailingZeros64(^t.size) {
		last := len(t.border) - 1
		sum = hashNode(&t.border[last], &sum)
		t.border = t.border[:last]
	}
	t.border = append(t.border, sum)
	t.size++
}

// Len returns the number of leaves.
func (t *Tree) Len() int64 { return int64(t.size) }

// Root returns the root over the leaves added so far, and does not change the tree. The
// root of no leaves is the SHA-256 of nothing, as RFC 6962 says.
func (t *Tree) Root() [sha256.Size]byte {
	if len(t.border) == 0 {
		return sha256.Sum256(nil)
	}
	root := t.border[len(t.border)-1]
	for i := len(t.border) - 2; i >= 0; i-- {
		root = hashNode(&t.border[i], &root)
	}
	return root
}

// Reset makes the tree empty and keeps its memory.
func (t *Tree) Reset() {
	t.size = 0
	t.border = t.border[:0]
}
