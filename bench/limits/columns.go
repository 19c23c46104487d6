package limits

import (
	"encoding/hex"
	"reflect"
	"slices"
	"strconv"

	"github.com/klauspost/compress/zstd"

	"github.com/cloudtraceservice/cts/bench/contest"
)

// Columns puts every field of traces into a column of its own, ids as 16 bytes and
// numbers as differences, and compresses each column as a whole with the best that zstd
// has: about the least that a form of storage which keeps everything takes, without any
// index and without being able to read a single trace.
type Columns struct {
	columns map[string]*column
	traces  int
}

// column is what one field holds.
type column struct {
	text []byte
	last int64
}

// Add adds records.
func (c *Columns) Add(records []contest.Record) {
	if c.columns == nil {
		c.columns = map[string]*column{}
	}
	for _, r := range records {
		c.traces++
		c.add("", reflect.ValueOf(r.Trace).Elem())
	}
}

func (c *Columns) column(name string) *column {
	col := c.columns[name]
	if col == nil {
		col = &column{}
		c.columns[name] = col
	}
	return col
}

// add adds one value, or what is in it.
func (c *Columns) add(name string, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		c.text(name, v.String())
	case reflect.Int64:
		c.column(name).number(v.Int())
	case reflect.Uint8:
		col := c.column(name)
		col.text = append(col.text, byte(v.Uint()))
	case reflect.Bool:
		col := c.column(name)
		col.text = strconv.AppendBool(col.text, v.Bool())
	case reflect.Struct:
		if v.IsZero() && name != "" {
			c.column(name).text = append(c.column(name).text, 0)
			return
		}
		for i := range v.NumField() {
			c.add(name+"."+v.Type().Field(i).Name, v.Field(i))
		}
	case reflect.Slice:
		c.column(name).number(int64(v.Len()))
		for i := range v.Len() {
			c.add(name+"[]", v.Index(i))
		}
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return slices.Compare([]byte(a.String()), []byte(b.String())) })
		c.column(name).number(int64(len(keys)))
		for _, k := range keys {
			c.add(name+".key", k)
			c.add(name+".value", v.MapIndex(k))
		}
	}
}

// text adds a text. Whether it is a UUID is in a column beside it.
func (c *Columns) text(name, s string) {
	col, kind := c.column(name), c.column(name+"?")
	if len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' {
		if raw, err := hex.DecodeString(s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]); err == nil {
			col.text = append(col.text, raw...)
			kind.text = append(kind.text, 1)
			return
		}
	}
	col.text = append(append(col.text, s...), 0)
	kind.text = append(kind.text, 0)
}

// number adds a number, as what it is more than the one before, in seven bits a byte.
func (c *column) number(n int64) {
	d := n - c.last
	c.last = n
	u := uint64(d)<<1 ^ uint64(d>>63)
	for ; u >= 0x80; u >>= 7 {
		c.text = append(c.text, byte(u)|0x80)
	}
	c.text = append(c.text, byte(u))
}

// PerTrace compresses the columns and returns the bytes that a trace takes.
func (c *Columns) PerTrace() (float64, error) {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return 0, err
	}
	total := 0
	for _, col := range c.columns {
		total += len(w.EncodeAll(col.text, nil))
	}
	return float64(total) / float64(max(1, c.traces)), w.Close()
}
