package digest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// splitAll returns the elements of a content, read in one way.
func splitAll(r io.Reader, size int) ([]string, error) {
	e := newElements(size)
	e.reset(r)
	var all []string
	for {
		element, err := e.next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, string(element))
	}
}

// decodeAll is what encoding/json makes of it.
func decodeAll(content []byte) ([]string, bool) {
	if !json.Valid(content) {
		return nil, false
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(content, &raw); err != nil || raw == nil {
		return nil, false
	}
	all := make([]string, 0, len(raw))
	for _, r := range raw {
		all = append(all, string(r))
	}
	return all, true
}

func TestElements(t *testing.T) {
	deep := strings.Repeat("[", maxNesting) + strings.Repeat("]", maxNesting)
	for name, c := range map[string]struct {
		content string
		want    []string // nil is a fault
	}{
		"empty array":          {"[]", []string{}},
		"spaces":               {" \t\r\n[ \n] \n", []string{}},
		"objects":              {`[{"a":1},{"b":[2,{}]}]`, []string{`{"a":1}`, `{"b":[2,{}]}`}},
		"spaces around":        {"[ {} ,\n{ } ]\n", []string{"{}", "{ }"}},
		"scalars":              {`[1,"x",null]`, []string{"1", `"x"`, "null"}},
		"brackets in a string": {`[{"a":"]},["},{}]`, []string{`{"a":"]},["}`, "{}"}},
		"escaped quotes":       {`[{"a":"\"]\\"},{"b":"\\\\\""}]`, []string{`{"a":"\"]\\"}`, `{"b":"\\\\\""}`}},
		"deep":                 {"[" + deep + "]", []string{deep}},
		"too deep":             {"[[" + deep + "]]", nil},
		"nothing":              {"", nil},
		"an object":            {`{"a":1}`, nil},
		"no end":               {`[{"a":1}`, nil},
		"no end of a string":   {`[{"a":"1}]`, nil},
		"ends in an escape":    {`["\"]`, nil},
		"comma at the end":     {`[{},]`, nil},
		"comma at the front":   {`[,{}]`, nil},
		"two commas":           {`[{},,{}]`, nil},
		"ends behind a comma":  {`[{},`, nil},
		"wrong brackets":       {`[{"a":[}]]`, nil},
		"closed too often":     {`[{}}]`, nil},
		"something behind":     {`[{}] []`, nil},
		"a megabyte of spaces": {"[" + strings.Repeat(" ", 1<<20) + "{}" + strings.Repeat("\n", 1<<20) + "]", []string{"{}"}},
		"too much space":       {"[" + strings.Repeat(" ", 2*maxElement) + "{}]", nil},
		"and behind":           {"[{}]" + strings.Repeat(" ", 2*maxElement), nil},
		"too large":            {`["` + strings.Repeat("x", maxElement) + `"]`, nil},
		"as large as may be":   {`["` + strings.Repeat("x", maxElement-2) + `"]`, []string{`"` + strings.Repeat("x", maxElement-2) + `"`}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := splitAll(strings.NewReader(c.content), 64)
			if c.want == nil {
				if !errors.Is(err, errNotArray) {
					t.Fatalf("%d elements, error %v, want errNotArray", len(got), err)
				}
				return
			}
			if err != nil || fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%.200q, error %v, want %.200q", got, err, c.want)
			}
		})
	}
}

func TestElementsReaderFails(t *testing.T) {
	broken := errors.New("broken")
	_, err := splitAll(io.MultiReader(strings.NewReader(`[{"a":1},{"b"`), iotest.ErrReader(broken)), 8)
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want that of the reader", err)
	}
	_, err = splitAll(&stuck{}, 8)
	if !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("error %v, want io.ErrNoProgress", err)
	}
}

// stuck reads nothing, for ever.
type stuck struct{}

func (*stuck) Read([]byte) (int, error) { return 0, nil }

func TestElementsMemory(t *testing.T) {
	e := newElements(elementBuffer)
	content := io.MultiReader(strings.NewReader("["), &endless{text: []byte(`{"a":"` + strings.Repeat("x", 900) + `"},`), left: 64 << 20})
	e.reset(content)
	for {
		if _, err := e.next(); err != nil {
			break
		}
	}
	if len(e.buf) != elementBuffer {
		t.Errorf("the buffer has %d bytes, want the %d it began with", len(e.buf), elementBuffer)
	}
}

// endless repeats a text.
type endless struct {
	text     []byte
	at, left int
}

func (r *endless) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, io.EOF
	}
	n := copy(p, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	r.left -= n
	return n, nil
}

func FuzzElements(f *testing.F) {
	for _, seed := range []string{
		"", "[", "[]", "[{}]", `[{"a":"\\\""},{"b":[1,2]}]`, `[1, 2 ,"]"]`, "[ ] ", `[{"a":1}}]`, `["\u0000"]`, `[tru e]`, "[\"a\nb\"]",
	} {
		f.Add([]byte(seed), uint8(3))
	}
	f.Fuzz(func(t *testing.T, content []byte, size uint8) {
		got, err := splitAll(bytes.NewReader(content), 1+int(size))
		slow, slowErr := splitAll(iotest.OneByteReader(bytes.NewReader(content)), 1)
		if fmt.Sprint(err) != fmt.Sprint(slowErr) && (err == nil || slowErr == nil) || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", slow) {
			t.Fatalf("at once %q, %v; byte by byte %q, %v", got, err, slow, slowErr)
		}
		if want, ok := decodeAll(content); ok {
			if err != nil || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
				t.Fatalf("%q, error %v, and encoding/json says %q", got, err, want)
			}
		}
		if err != nil {
			return
		}
		again, err := splitAll(strings.NewReader("["+strings.Join(got, ",")+"]"), 16)
		if err != nil || fmt.Sprintf("%q", again) != fmt.Sprintf("%q", got) {
			t.Fatalf("joined again: %q, %v, want %q", again, err, got)
		}
	})
}
