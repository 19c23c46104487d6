package jsontext

import (
	"encoding/json"
	"testing"
)

// checkRead reads text as a string: it is read if and only if AppendString would write
// it, and as encoding/json reads it.
func checkRead(tb testing.TB, text string) {
	tb.Helper()
	var room Room
	defer room.Free()
	for _, before := range []string{"", "x", "1234567"} {
		for _, behind := range []string{"", `,"`, "123456789"} {
			got, next, ok := ReadString(before+text+behind, len(before), &room)
			whole := before + text + behind
			in := make([]byte, RoomFor(len(whole)-len(before)))
			v, used, after, same := ReadStringIn(in, whole, len(before))
			if v != got || after != next || same != ok || used > len(text) {
				tb.Fatalf("%q behind %q, before %q: %q, %d, %v, and in given memory %q, %d, %v", text, before, behind, got, next, ok, v, after, same)
			}
			var want string
			written := json.Unmarshal([]byte(text), &want) == nil && string(AppendString(nil, want)) == text
			switch {
			case written && (!ok || got != want || next != len(before)+len(text)):
				tb.Fatalf("%q behind %q, before %q: %q, %d, %v", text, before, behind, got, next, ok)
			case !written && ok && next == len(before)+len(text):
				tb.Fatalf("%q behind %q, before %q: is not what is written for %q", text, before, behind, got)
			}
		}
	}
}

func TestReadString(t *testing.T) {
	for c := range rune(0x250) {
		for _, text := range []string{string(c), "12345678" + string(c), string(c) + "12345678", "1234567" + string(c) + "\""} {
			checkRead(t, string(AppendString(nil, text)))
			checkRead(t, `"`+text+`"`)
		}
	}
	for _, text := range []string{
		``, `"`, `x`, `"x`, `""`, `"\`, `"\"`, `"\u`, `"\u003`, `"\u003c"`, `"\u003C"`, `"\u000a"`, `"\u0041"`, `"\/"`, `"\x"`,
		`"\u2028"`, `"\u2029"`, `"\u202a"`, "\"\u2028\"", `"\ufffd"`, "\"\ufffd\"", "\"\xff\"", `"\ud83d\ude00"`, `"😀"`, "\"\x1f\"", `"<"`, "\"\x7f\"",
		`"\u0000"`, `"\u001f"`, `"\u0026"`, `"\b\f\n\r\t\\\""`,
	} {
		checkRead(t, text)
	}
}

func FuzzReadString(f *testing.F) {
	for _, s := range []string{`"a"`, `"\u003c\n"`, "\"\xff", `"é\""`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		checkRead(t, text)
		checkRead(t, string(AppendString(nil, text)))
	})
}
