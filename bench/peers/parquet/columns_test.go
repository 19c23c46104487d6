package parquet

import (
	"reflect"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest/contesttest"
)

func TestPackID(t *testing.T) {
	for _, c := range []struct {
		id     string
		packed int
	}{
		{"", 0},
		{"res-7", 5},
		{"0123456789abcdef", 17},
		{"28fcfbe0-b12c-4c84-a387-68999771baf4", 16},
		{"28FCFBE0-b12c-4c84-a387-68999771baf4", 36},
		{"28fcfbe0xb12c-4c84-a387-68999771baf4", 36},
		{"28fcfbe0-b12c-4c84-a387-68999771bag4", 36},
		{strings.Repeat("0", 36), 36},
	} {
		packed := packID(c.id)
		if len(packed) != c.packed || unpackID(packed) != c.id {
			t.Errorf("packID(%q) = %q, which is %q again; want %d bytes", c.id, packed, unpackID(packed), c.packed)
		}
	}
}

// TestRowOfLeavesNothingOut sets each field of a trace alone and looks for it in the row.
func TestRowOfLeavesNothingOut(t *testing.T) {
	empty := rowOf(&cts.Trace{})
	fields := reflect.TypeFor[cts.Trace]()
	for i := range fields.NumField() {
		var tr cts.Trace
		switch f := reflect.ValueOf(&tr).Elem().Field(i); f.Kind() {
		case reflect.String:
			f.SetString(`"x":1`)
		case reflect.Int64:
			f.SetInt(7)
		case reflect.Uint8:
			f.SetUint(2)
		case reflect.Struct:
			tr.User.ID = "u" // User or Ext
			tr.Ext.Role = "admin"
		default:
			t.Fatalf("field %s is a %v", fields.Field(i).Name, f.Kind())
		}
		if rowOf(&tr) == empty {
			t.Errorf("field %s is not in the row", fields.Field(i).Name)
		}
	}
}

func TestRowOfKeepsTheRestAsJSON(t *testing.T) {
	for _, r := range contesttest.Records(3, 200) {
		row := rowOf(r.Trace)
		if (row.Rest == "") != reflect.DeepEqual(r.Trace.Ext, cts.Ext{}) {
			t.Fatalf("rest %q of a trace with ext %+v", row.Rest, r.Trace.Ext)
		}
		if want := `"user":` + row.User; row.User != "" && !strings.Contains(string(r.JSON), want) {
			t.Fatalf("%s is not in %s", want, r.JSON)
		}
	}
}
