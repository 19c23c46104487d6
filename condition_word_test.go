package cts_test

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/cloudtraceservice/cts"
)

func TestWord(t *testing.T) {
	for _, c := range []struct {
		text, word string
		want, fold bool // found as it is, and ignoring case
	}{
		{"quota exceeded", "quota", true, true},
		{"quota exceeded", "exceeded", true, true},
		{"quota exceeded", "exceed", false, false},
		{"quota exceeded", "uota", false, false},
		{"quota exceeded", "QUOTA", false, true},
		{"quota", "quota", true, true},
		{"", "quota", false, false},
		{"quotas quota", "quota", true, true},
		{"aquota,quotab;quota!", "quota", true, true},
		{"aaa aa", "aa", true, true},
		{"aaaa", "aa", false, false},
		{`{"adminPass":"x-1"}`, "adminPass", true, true},
		{`{"adminPass":"x-1"}`, "admin", false, false},
		{`{"adminPass":"x-1"}`, "1", true, true},
		{"snake_case", "case", true, true}, // '_' is no letter
		{"Größe 日本語", "Größe", true, true},
		{"Größe 日本語", "GRÖSSE", false, false},
		{"GRÖẞE", "größe", false, true},
		{"Größe 日本語", "日本語", true, true},
		{"Größe 日本語", "日本", false, false},
		{"naïve", "na", false, false},
		{"a\u2028b", "a", false, false}, // separators beyond ASCII are bytes from 0x80 on
		{"\xff\xfe ok", "\xff\xfe", true, true},
		{"K 273", "k", false, true}, // the Kelvin sign
	} {
		tr := &cts.Trace{Message: c.text}
		condition := cts.Word(cts.FieldMessage, c.word)
		if err := (cts.Query{Condition: condition}).Validate(); err != nil {
			t.Errorf("%q: %v", c.word, err)
		}
		if got := condition.Match(tr); got != c.want {
			t.Errorf("%q contains the word %q: %v", c.text, c.word, got)
		}
		if got := condition.IgnoreCase().Match(tr); got != c.fold {
			t.Errorf("%q contains the word %q, ignoring case: %v", c.text, c.word, got)
		}
	}
	several := cts.Condition{Op: cts.OpWord, Field: cts.FieldUser, Values: []string{"bob", "anna"}}
	if !several.Match(&cts.Trace{User: cts.User{ID: "1", Name: "x", UserName: "idp/anna"}}) || several.Match(&cts.Trace{}) {
		t.Error("a word of one of several values is not found, or one of none is")
	}
}

func TestWordIsPartOfCursors(t *testing.T) {
	q := cts.Query{}.Where(cts.Contains(cts.FieldMessage, "x"))
	scan, err := q.Scan("s", 1)
	if err != nil {
		t.Fatal(err)
	}
	cursor := scan.Entry(1, &cts.Trace{}, nil).Cursor()
	if _, err := (cts.Query{}.Where(cts.Word(cts.FieldMessage, "x")).Resume(cursor).Scan("s", 1)); err == nil {
		t.Error("a query for a word takes the cursor of one for a part")
	}
}

// FuzzWord compares with splitting the text.
func FuzzWord(f *testing.F) {
	f.Add("quota exceeded", "quota", true)
	f.Add("Größe", "größe", false)
	f.Add("İ\xff-ſ K", "k", true)
	f.Fuzz(func(t *testing.T, text, word string, fold bool) {
		c := cts.Word(cts.FieldMessage, word)
		if fold {
			c = c.IgnoreCase()
			text, word = strings.ToLower(text), strings.ToLower(word)
		}
		ascii := func(r rune) bool { return r < utf8.RuneSelf && !unicode.IsLetter(r) && !unicode.IsDigit(r) }
		valid := word != "" && !strings.ContainsFunc(word, ascii)
		if (cts.Query{Condition: c}).Validate() == nil != valid {
			t.Fatalf("%q is one word: %v", word, valid)
		}
		if want := slices.Contains(strings.FieldsFunc(text, ascii), word); valid && c.Match(&cts.Trace{Message: text}) != want {
			t.Fatalf("%q contains the word %q: want %v", text, word, want)
		}
	})
}
