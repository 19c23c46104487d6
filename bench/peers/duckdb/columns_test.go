package duckdb

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/contesttest"
	"github.com/cloudtraceservice/cts/bench/peers/internal/row"
)

// full is a trace with every member of the first level.
func full() contest.Record {
	t := &cts.Trace{Unknown: `"new_member":{"a":[1,"}"]}`, Ext: cts.Ext{Role: "admin"}}
	v := reflect.ValueOf(t).Elem()
	for i := range v.NumField() {
		switch name := v.Type().Field(i).Name; {
		case name == "Unknown":
		case v.Field(i).Kind() == reflect.String:
			v.Field(i).SetString("value of " + name)
		case v.Field(i).Kind() == reflect.Int64:
			v.Field(i).SetInt(contesttest.Base + int64(i))
		case v.Field(i).Kind() == reflect.Uint8:
			v.Field(i).SetUint(uint64(cts.True))
		}
	}
	t.User = cts.User{ID: "id", Name: "name", InvokedBy: []string{"x"}}
	return contest.Record{Trace: t, JSON: t.AppendJSON(nil)}
}

// TestEveryMemberHasAPlace puts the row together again as JSON and compares it with
// that of the trace.
func TestEveryMemberHasAPlace(t *testing.T) {
	for _, r := range append(contesttest.Records(7, 500), full()) {
		values := values(nil, 1, r)
		got := map[string]any{}
		if rest, _ := values[2].(string); rest != "" {
			if err := json.Unmarshal([]byte(rest), &got); err != nil {
				t.Fatalf("rest %s: %v", rest, err)
			}
		}
		var user any
		text, _ := values[1].(string)
		if err := json.Unmarshal([]byte(text), &user); err != nil {
			t.Fatalf("user %v: %v", values[1], err)
		}
		got["user"] = user
		for i, c := range columns {
			if c.name != "user_name" {
				got[c.name] = values[3+i]
			}
		}
		want := map[string]any{}
		d := json.NewDecoder(strings.NewReader(string(r.JSON)))
		d.UseNumber()
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		for key, value := range want {
			if fmt.Sprint(got[key]) != fmt.Sprint(value) {
				t.Errorf("%s is %v, want %v", key, got[key], value)
			}
			delete(got, key)
		}
		for key, value := range got {
			if value != nil && value != "" && value != int64(0) {
				t.Errorf("%s is %v and no member of the trace", key, value)
			}
		}
	}
}

func TestRowsAreAsWideAsTheTable(t *testing.T) {
	r := full()
	if n, want := len(values(nil, 1, r)), strings.Count(schema(), ",")+1; n != want {
		t.Errorf("%d values for %d columns", n, want)
	}
	for _, heads := range []bool{true, false} {
		if n, want := len(into(new(row.Row), new(int64), heads)), strings.Count(selected(heads), ",")+1; n != want {
			t.Errorf("%d destinations for %d columns, heads %v", n, want, heads)
		}
	}
}
