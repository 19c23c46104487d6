package segment

import (
	"fmt"
	"math"
)

// Limits of a segment.
const (
	MaxRows    = 1 << 30 // rows of one segment
	MaxColumns = 4096
	MaxTexts   = 255     // texts of one row
	MaxValue   = 1 << 24 // bytes of one value
	MaxText    = 1 << 24 // bytes of all texts of one row
)

// Schema says what rows have.
type Schema struct {
	Columns []Column
	Texts   int // number of texts of each row
}

// Column describes one column.
type Column struct {
	Name string // not empty, unique in the schema
	Find bool   // rows are looked up by exact value
	ID   bool   // an identifier, nearly unique: look-ups of values that are not there are answered by a filter; implies Find
}

// Row is one row as it is written.
type Row struct {
	Position uint64 // greater than that of the row before
	Time     int64  // milliseconds since 1970; orders the rows
	Record   int64  // milliseconds since 1970; usually a little after Time
	Values   []string
	Texts    []string
}

// Info is what the footer of a segment says.
type Info struct {
	Schema                      Schema
	Rows                        int
	FirstPosition, LastPosition uint64
	MinTime, MaxTime            int64
	MinRecord, MaxRecord        int64
	RawBytes                    int64 // of all values and texts as they were added
	TextBytes                   int64 // of the texts among them
	FileBytes                   int64 // of the whole segment
}

func (s *Schema) validate() error {
	if len(s.Columns) > MaxColumns || s.Texts < 0 || s.Texts > MaxTexts {
		return fmt.Errorf("a schema of %d columns and %d texts: %w", len(s.Columns), s.Texts, ErrRow)
	}
	seen := make(map[string]bool, len(s.Columns))
	for i, c := range s.Columns {
		if c.Name == "" || len(c.Name) > math.MaxUint8 || seen[c.Name] {
			return fmt.Errorf("column %d has no name of 1 to 255 bytes of its own: %w", i, ErrRow)
		}
		seen[c.Name] = true
	}
	return nil
}

// Index returns the index of the column of that name, and -1 if there is none.
func (s *Schema) Index(name string) int {
	for i := range s.Columns {
		if s.Columns[i].Name == name {
			return i
		}
	}
	return -1
}
