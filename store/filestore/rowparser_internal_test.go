package filestore

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/segment"
	"github.com/cloudtraceservice/cts/store/storetest"
)

// checkRow checks the row that is made of JSON without a trace in between, if one is,
// against that of the trace, and reports whether one is.
func checkRow(tb testing.TB, json []byte) bool {
	tb.Helper()
	var whole rowMaker
	whole.begin(7)
	if !whole.parser.parse(&whole.row, json) {
		return false
	}
	var trace cts.Trace
	if !cts.ParseCanonical(json, &trace) {
		tb.Fatalf("taken, and not canonical: %q", json)
	}
	var parts rowMaker
	if d := cmp.Diff(parts.make(7, &trace, nil), &whole.row); d != "" {
		tb.Fatalf("another row:\n%s\nof %q", d, json)
	}
	return true
}

// columnTrace returns a trace with something in some of its columns and texts.
func columnTrace(chosen func() bool) *cts.Trace {
	t := &cts.Trace{Time: 1717372800000, RecordTime: -5}
	for i, c := range layout.columns {
		if !chosen() {
			continue
		}
		v := fmt.Sprintf("value <%d> of\t%q", i, c.name)
		switch c.form {
		case formText:
		case formTexts:
			v = packTexts([]string{v, "", "é"})
		case formLabels:
			v = packTexts([]string{"a", v, "b\n", ""})
		default:
			if v = "true"; c.name == "total_time" || c.name == "content_length" {
				v = "-120"
			}
		}
		c.set(t, v)
	}
	for i, text := range []*string{&t.Request, &t.Response, &t.Message} {
		if chosen() {
			*text = fmt.Sprintf(`{"text":"%d \u2028"}`, i)
		}
	}
	return t
}

func TestRowsOfJSON(t *testing.T) {
	all := columnTrace(func() bool { return true })
	if d := cmp.Diff(cts.Trace{}, *all); d == "" || !checkRow(t, all.AppendJSON(nil)) {
		t.Errorf("a trace with all columns is not taken: %s", all.AppendJSON(nil))
	}
	if none := columnTrace(func() bool { return false }); !checkRow(t, none.AppendJSON(nil)) {
		t.Errorf("a trace without columns is not taken: %s", none.AppendJSON(nil))
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		share := rng.Float64()
		some := columnTrace(func() bool { return rng.Float64() < share })
		if !checkRow(t, some.AppendJSON(nil)) {
			t.Fatalf("a trace with some columns is not taken: %s", some.AppendJSON(nil))
		}
	}
	for _, trace := range storetest.Traces(11, 500) {
		if json := trace.AppendJSON(nil); checkRow(t, json) == hasRest(trace) {
			t.Fatalf("has a rest: %v, and is taken all the same, or the reverse: %s", hasRest(trace), json)
		}
	}
}

// TestRowsOfOtherJSON takes a byte out, puts one in or changes one, everywhere.
func TestRowsOfOtherJSON(t *testing.T) {
	json := columnTrace(func() bool { return true }).AppendJSON(nil)
	taken := 0
	for i := range json {
		for _, c := range []byte(`"},0x`) {
			for _, other := range [][]byte{
				append(append([]byte(nil), json[:i]...), json[i+1:]...),
				append(append(append([]byte(nil), json[:i]...), c), json[i:]...),
				append(append(append([]byte(nil), json[:i]...), c), json[i+1:]...),
			} {
				if checkRow(t, other) {
					taken++
				}
			}
		}
		checkRow(t, json[:i])
	}
	if taken == 0 {
		t.Error("of all changes to texts none is taken")
	}
}

// TestRowsOfEmptyMembers takes what a member has, which only some are written without.
func TestRowsOfEmptyMembers(t *testing.T) {
	json := columnTrace(func() bool { return true }).AppendJSON(nil)
	values := regexp.MustCompile(`:("(?:[^"\\]|\\.)*"|\[[^]]*\]|-?[0-9]+|true|false)`)
	taken := 0
	for _, at := range values.FindAllSubmatchIndex(json, -1) {
		for _, empty := range []string{`""`, `[]`, `{}`, `0`, `-0`, `00`, `null`, `"a"`, `["a"]`, `{"a":"b"}`, `true`, `9223372036854775807`} {
			if checkRow(t, slices.Concat(json[:at[2]], []byte(empty), json[at[3]:])) {
				taken++
			}
		}
	}
	if taken == 0 {
		t.Error("of all other members none is taken")
	}
	bare := columnTrace(func() bool { return false }).AppendJSON(nil)
	for old, objects := range map[string][]string{
		`"user":{}`: {`"user":{"domain":{}}`, `"user":{"session_context":{}}`, `"user":{"session_context":{"attributes":{}}}`},
		`}}`: {
			`},"ext":{"v":1}}`, `},"ext":{}}`, `},"ext":{"v":1,"writer":{}}}`, `},"ext":{"role":"a"}}`,
			`},"ext":{"v":2,"role":"a"}}`, `},"ext":{"v":1,"labels":{}}}`,
		},
	} {
		for _, object := range objects {
			if other := bytes.Replace(bare, []byte(old), []byte(object), 1); bytes.Equal(other, bare) || checkRow(t, other) {
				t.Errorf("taken, or the same: %s", other)
			}
		}
	}
}

func TestRowMakerForgets(t *testing.T) {
	var m rowMaker
	full, bare := columnTrace(func() bool { return true }), columnTrace(func() bool { return false })
	odd := append([]byte(" "), bare.AppendJSON(nil)...)
	for _, json := range [][]byte{full.AppendJSON(nil), bare.AppendJSON(nil), full.AppendJSON(nil), odd} {
		got, err := m.parse(3, json)
		if err != nil {
			t.Fatal(err)
		}
		var fresh rowMaker
		want, err := fresh.parse(3, json)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("the row has something of the one before:\n%s", d)
		}
	}
	if m.row.Values[len(layout.columns)] != restRaw || len(m.row.Texts) != textCount || m.row.Position != 3 {
		t.Errorf("the last row is %+v", segment.Row{Position: m.row.Position, Texts: m.row.Texts})
	}
}

func FuzzRowOfJSON(f *testing.F) {
	f.Add(columnTrace(func() bool { return true }).AppendJSON(nil))
	for _, t := range storetest.Traces(3, 5) {
		f.Add(t.AppendJSON(nil))
	}
	f.Fuzz(func(t *testing.T, json []byte) { checkRow(t, json) })
}
