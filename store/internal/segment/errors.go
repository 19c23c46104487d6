package segment

import (
	"errors"
	"fmt"
)

// ErrVersion says that a segment was written by a newer version of this package.
var ErrVersion = errors.New("segment: the format is newer than this program: use the version that wrote it")

// ErrRow says that a row or a schema can't be stored: what is wrong with it stands
// in front.
var ErrRow = errors.New("segment: not storable")

// Damage is the error for bytes that are not what was written. It never holds
// content.
type Damage struct {
	File   string // as given to Open
	Offset int64  // in the file
	Length int64  // of the damaged part as far as it is known, at least 1
	Reason string
}

// Error says where the damage is.
func (d *Damage) Error() string {
	return fmt.Sprintf("segment %s: damaged at offset %d, %d bytes: %s", d.File, d.Offset, d.Length, d.Reason)
}

var errTable = errors.New("segment: a table that was just written can't be read")
