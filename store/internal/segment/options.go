package segment

import (
	"errors"
	"fmt"
)

// Options say how a segment is written. The zero value and nil are the defaults.
type Options struct {
	// BlockRows is the most rows whose texts share a block, from 1 to 1024. More make
	// smaller files and the search for words slower, and with zstd the opening of one
	// row. Default: 16.
	BlockRows int

	// BlockBytes ends a block of texts early, from 1 KiB to 1 MiB. Default: 16 KiB.
	BlockBytes int

	// Level is how hard zstd compresses: 1 fastest, 2, 3. Default: 1.
	Level int

	// NoPhrases compresses texts with zstd alone. Default: false, a code of phrases made
	// of the first texts, where that makes smaller blocks than zstd.
	NoPhrases bool

	// Dictionary is used instead of making one: that of an earlier segment of alike
	// texts, from Texts.Dictionary. A Writer keeps it. Default: none.
	Dictionary []byte

	// ListShare says which values have a list of their rows: those of at most this
	// part of the rows (16: a sixteenth). Default: 16.
	ListShare int

	// Workers is how many columns Merge makes at a time, each in a goroutine and with memory
	// of its own, from 1 to 64. Default: 1.
	Workers int

	// Yield is called between columns by Finish and Merge, by the goroutines that make
	// them: for runtime.Gosched, where what others do is more urgent. Default: nil.
	Yield func()

	// WordBits is the number of bits, from 1 to 8, by which a group of blocks (4,080
	// rows or less) knows the words that it doesn't have: one of 2 to the WordBits passes
	// and costs the opening of one block. Each bit is 0.15 bytes for each word that is
	// different from the others of its group. -1 makes no word filters. Default: 4.
	WordBits int
}

// withDefaults returns a checked copy.
func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	var errs []error
	number := func(p *int, name string, def, least, most int) {
		if *p == 0 {
			*p = def
		}
		if *p < least || *p > most {
			errs = append(errs, fmt.Errorf("segment: option %s is %d, want %d to %d", name, *p, least, most))
		}
	}
	number(&c.BlockRows, "BlockRows", 16, 1, 1024)
	number(&c.BlockBytes, "BlockBytes", 16<<10, 1<<10, 1<<20)
	number(&c.Level, "Level", 1, 1, 3)
	number(&c.ListShare, "ListShare", 16, 1, 1<<20)
	number(&c.Workers, "Workers", 1, 1, 64)
	number(&c.WordBits, "WordBits", 4, -1, 8)
	return c, errors.Join(errs...)
}

func (o *Options) yield() {
	if o.Yield != nil {
		o.Yield()
	}
}
