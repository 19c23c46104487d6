package cts_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
)

// fieldValues has every field of a query with a trace in which it has the value
// "Value-1", or "true" or an address where nothing else can be.
func fieldValues() map[cts.Field]cts.Trace {
	const v = "Value-1"
	return map[cts.Field]cts.Trace{
		cts.FieldServiceType:         {ServiceType: v},
		cts.FieldTraceName:           {Name: v},
		cts.FieldTraceType:           {Type: v},
		cts.FieldEventType:           {EventType: v},
		cts.FieldTraceRating:         {Rating: v},
		cts.FieldResourceType:        {ResourceType: v},
		cts.FieldResourceID:          {ResourceID: v},
		cts.FieldResourceName:        {ResourceName: v},
		cts.FieldUser:                {User: cts.User{Name: v}},
		cts.FieldAccessKeyID:         {User: cts.User{AccessKeyID: v}},
		cts.FieldSourceIP:            {SourceIP: v},
		cts.FieldCode:                {Code: v},
		cts.FieldRequestID:           {RequestID: v},
		cts.FieldTraceID:             {ID: v},
		cts.FieldOperationID:         {OperationID: v},
		cts.FieldTrackerName:         {TrackerName: v},
		cts.FieldProjectID:           {ProjectID: v},
		cts.FieldDomainID:            {DomainID: v},
		cts.FieldEnterpriseProjectID: {EnterpriseProjectID: v},
		cts.FieldUserAgent:           {UserAgent: v},
		cts.FieldOutcome:             {Ext: cts.Ext{Outcome: v}},
		cts.FieldPhase:               {Ext: cts.Ext{Phase: v}},
		cts.FieldAttemptID:           {Ext: cts.Ext{AttemptID: v}},
		cts.FieldRole:                {Ext: cts.Ext{Role: v}},
		cts.FieldImpersonator:        {Ext: cts.Ext{Impersonator: cts.Principal{Name: v}}},
		cts.FieldSession:             {Ext: cts.Ext{SessionID: v}},
		cts.FieldW3CTraceID:          {Ext: cts.Ext{W3CTraceID: v}},
		cts.FieldWriter:              {Ext: cts.Ext{Writer: cts.Writer{ID: v}}},
		cts.FieldRequest:             {Request: v},
		cts.FieldResponse:            {Response: v},
		cts.FieldMessage:             {Message: v},
		cts.Label("env"):             {Ext: cts.Ext{Labels: map[string]string{"env": v, "other": "x"}}},
	}
}

func TestConditionsOfEveryField(t *testing.T) {
	all := fieldValues()
	for f, tr := range all {
		for _, c := range []struct {
			name      string
			condition cts.Condition
			want      bool
		}{
			{"equal", cts.Eq(f, "Value-1"), true},
			{"equal to another", cts.Eq(f, "Value"), false},
			{"equal in another case", cts.Eq(f, "value-1"), false},
			{"equal, ignoring case", cts.Eq(f, "vALUE-1").IgnoreCase(), true},
			{"in", cts.In(f, "x", "Value-1"), true},
			{"in none", cts.In(f), false},
			{"prefix", cts.Prefix(f, "Val"), true},
			{"prefix in another case", cts.Prefix(f, "val"), false},
			{"prefix, ignoring case", cts.Prefix(f, "vAL").IgnoreCase(), true},
			{"not a prefix", cts.Prefix(f, "alue"), false},
			{"longer prefix", cts.Prefix(f, "Value-11"), false},
			{"empty prefix", cts.Prefix(f, ""), true},
			{"contains", cts.Contains(f, "ue-"), true},
			{"contains in another case", cts.Contains(f, "UE-"), false},
			{"contains, ignoring case", cts.Contains(f, "UE-").IgnoreCase(), true},
			{"contains nothing", cts.Contains(f, ""), true},
			{"present", cts.Present(f), true},
			{"absent", cts.Absent(f), false},
			{"equal to nothing", cts.Eq(f, ""), false},
			{"not", cts.Not(cts.Eq(f, "x")), true},
		} {
			if got := c.condition.Match(&tr); got != c.want {
				t.Errorf("%s: %s: %v, want %v", f, c.name, got, c.want)
			}
			if err := (cts.Query{Condition: c.condition}).Validate(); err != nil {
				t.Errorf("%s: %s: %v", f, c.name, err)
			}
		}
		// The other traces do not have the field.
		for g, other := range all {
			if f == g {
				continue
			}
			if cts.Present(f).Match(&other) || !cts.Absent(f).Match(&other) || !cts.Eq(f, "").Match(&other) || cts.Contains(f, "V").Match(&other) {
				t.Errorf("a trace with %s has %s too", g, f)
			}
		}
	}
}

func TestConditionsOfReadOnly(t *testing.T) {
	f := cts.FieldReadOnly
	for _, c := range []struct {
		value                       cts.Bool
		isTrue, isFalse, is, absent bool
	}{{cts.Unset, false, false, false, true}, {cts.False, false, true, true, false}, {cts.True, true, false, true, false}} {
		tr := &cts.Trace{ReadOnly: c.value}
		if cts.Eq(f, "true").Match(tr) != c.isTrue || cts.Eq(f, "false").Match(tr) != c.isFalse ||
			cts.Present(f).Match(tr) != c.is || cts.Absent(f).Match(tr) != c.absent {
			t.Errorf("read_only %q is matched wrongly", c.value)
		}
	}
}

// A user is meant by the id and by either name; so is an impersonator.
func TestConditionsOfSeveralValues(t *testing.T) {
	tr := &cts.Trace{
		User: cts.User{ID: "id-1", Name: "Anna", UserName: "anna@example.org"},
		Ext:  cts.Ext{Impersonator: cts.Principal{ID: "id-2", Name: "Root"}},
	}
	bare := &cts.Trace{User: cts.User{UserName: "anna@example.org"}}
	for _, c := range []struct {
		condition  cts.Condition
		full, only bool
	}{
		{cts.Eq(cts.FieldUser, "id-1"), true, false},
		{cts.Eq(cts.FieldUser, "Anna"), true, false},
		{cts.Eq(cts.FieldUser, "anna@example.org"), true, true},
		{cts.Eq(cts.FieldUser, "id-2"), false, false},
		{cts.Eq(cts.FieldUser, ""), false, false}, // absent is the whole user, not one name
		{cts.In(cts.FieldUser, "", "x"), false, false},
		{cts.Prefix(cts.FieldUser, "anna@"), true, true},
		{cts.Contains(cts.FieldUser, "example"), true, true},
		{cts.Present(cts.FieldUser), true, true},
		{cts.Absent(cts.FieldUser), false, false},
		{cts.Not(cts.Eq(cts.FieldUser, "Anna")), false, true},
		{cts.Eq(cts.FieldImpersonator, "id-2"), true, false},
		{cts.Eq(cts.FieldImpersonator, "root").IgnoreCase(), true, false},
		{cts.Eq(cts.FieldImpersonator, "Anna"), false, false},
		{cts.Present(cts.FieldImpersonator), true, false},
		{cts.Eq(cts.FieldImpersonator, ""), false, true},
	} {
		if got := c.condition.Match(tr); got != c.full {
			t.Errorf("%+v of a full trace: %v", c.condition, got)
		}
		if got := c.condition.Match(bare); got != c.only {
			t.Errorf("%+v of a trace with a user name alone: %v", c.condition, got)
		}
	}
}

func TestConditionsOfLabels(t *testing.T) {
	tr := &cts.Trace{Ext: cts.Ext{Labels: map[string]string{"env": "prod", "a.b": "x", "": "nameless", "empty": ""}}}
	for f, want := range map[cts.Field]bool{
		cts.Label("env"): true, cts.Label("a.b"): true, cts.Label("Env"): false, cts.Label("none"): false, cts.Label("empty"): false,
	} {
		if got := cts.Present(f).Match(tr); got != want {
			t.Errorf("%s is present: %v", f, got)
		}
	}
	if err := (cts.Query{Condition: cts.Present(cts.Label(""))}).Validate(); !errors.Is(err, cts.ErrBadQuery) {
		t.Errorf("a label without a key: %v", err)
	}
}

func TestConditionsOfNetworks(t *testing.T) {
	net := netip.MustParsePrefix
	for _, c := range []struct {
		ip   string
		nets []netip.Prefix
		want bool
	}{
		{"10.1.2.3", []netip.Prefix{net("10.0.0.0/8")}, true},
		{"11.1.2.3", []netip.Prefix{net("10.0.0.0/8")}, false},
		{"11.1.2.3", []netip.Prefix{net("10.0.0.0/8"), net("11.1.2.3/32")}, true},
		{"::ffff:10.1.2.3", []netip.Prefix{net("10.0.0.0/8")}, true},
		{"10.1.2.3", []netip.Prefix{net("::ffff:10.0.0.0/104")}, true},
		{"::ffff:a01:203", []netip.Prefix{net("::ffff:10.0.0.0/104")}, true},
		{"11.1.2.3", []netip.Prefix{net("::ffff:10.0.0.0/104")}, false},
		{"10.1.2.3", []netip.Prefix{net("::/0")}, false},
		{"10.1.2.3", []netip.Prefix{net("0.0.0.0/0")}, true},
		{"2001:db8::1", []netip.Prefix{net("2001:db8::/32")}, true},
		{"2001:db8::1", []netip.Prefix{net("0.0.0.0/0")}, false},
		{"fe80::1%eth0", []netip.Prefix{net("fe80::/10")}, true},
		{"10.1.2.3", []netip.Prefix{net("10.99.0.0/8")}, true}, // bits behind the length do not count
		{"10.1.2.3:80", []netip.Prefix{net("10.0.0.0/8")}, false},
		{"010.1.2.3", []netip.Prefix{net("0.0.0.0/0")}, false},
		{"a name", []netip.Prefix{net("0.0.0.0/0")}, false},
		{"", []netip.Prefix{net("0.0.0.0/0")}, false},
		{"10.1.2.3", nil, false},
	} {
		condition := cts.Within(cts.FieldSourceIP, c.nets...)
		tr := &cts.Trace{SourceIP: c.ip}
		if got := condition.Match(tr); got != c.want {
			t.Errorf("%q in %v: %v", c.ip, c.nets, got)
		}
		if got := cts.Not(condition).Match(tr); got == c.want {
			t.Errorf("%q not in %v: %v", c.ip, c.nets, got)
		}
	}
}

func TestConditionsOfNumbers(t *testing.T) {
	for _, c := range []struct {
		code                 string
		less, most, more, at bool // compared with 400
	}{
		{"399", true, true, false, false},
		{"400", false, true, false, true},
		{"401", false, false, true, true},
		{"-1", true, true, false, false},
		{"0400", false, true, false, true},
		{"9223372036854775807", false, false, true, true},
		{"9223372036854775808", false, false, false, false}, // no number of 64 bits
		{"VPC.0514", false, false, false, false},
		{"399.5", false, false, false, false},
		{"", false, false, false, false},
	} {
		tr := &cts.Trace{Code: c.code}
		f := cts.FieldCode
		got := [4]bool{
			cts.Less(f, 400).Match(tr), cts.LessEqual(f, 400).Match(tr), cts.Greater(f, 400).Match(tr), cts.GreaterEqual(f, 400).Match(tr),
		}
		if want := [4]bool{c.less, c.most, c.more, c.at}; got != want {
			t.Errorf("code %q: <, <=, >, >= 400 are %v, want %v", c.code, got, want)
		}
	}
}

func TestConditionsCombined(t *testing.T) {
	yes, no := cts.Condition{}, cts.Not(cts.Condition{})
	for _, c := range []struct {
		condition cts.Condition
		want      bool
	}{
		{yes, true},
		{no, false},
		{cts.Not(no), true},
		{cts.And(), true},
		{cts.Or(), false},
		{cts.And(yes, yes), true},
		{cts.And(yes, no), false},
		{cts.And(no, yes), false},
		{cts.Or(no, yes), true},
		{cts.Or(no, no), false},
		{cts.Not(cts.And(yes, no)), true},
		{cts.And(cts.Or(no, yes), cts.Not(cts.Or(no, no))), true},
		{cts.Or(cts.And(yes, no), cts.And(no, yes)), false},
	} {
		if got := c.condition.Match(new(cts.Trace)); got != c.want {
			t.Errorf("%+v: %v", c.condition, got)
		}
		if err := (cts.Query{Condition: c.condition}).Validate(); err != nil {
			t.Errorf("%+v: %v", c.condition, err)
		}
	}
}

// IgnoreCase reaches what a condition combines, and changes no other condition.
func TestIgnoreCase(t *testing.T) {
	inner := cts.Eq(cts.FieldRole, "ADMIN")
	outer := cts.And(cts.Or(inner, cts.Eq(cts.FieldRole, "x")), cts.Not(cts.Eq(cts.FieldCode, "x")))
	tr := &cts.Trace{Ext: cts.Ext{Role: "admin"}}
	if !outer.IgnoreCase().Match(tr) {
		t.Error("IgnoreCase of And does not reach its conditions")
	}
	if outer.Match(tr) || inner.Match(tr) {
		t.Error("IgnoreCase changed its receiver")
	}
	if !cts.Eq(cts.FieldRole, "ÄRZTIN").IgnoreCase().Match(&cts.Trace{Ext: cts.Ext{Role: "ärztin"}}) {
		t.Error("IgnoreCase stops at ASCII")
	}
}

func TestConditionsKeepTheirOperands(t *testing.T) {
	values := []string{"a", "b"}
	nets := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	parts := []cts.Condition{cts.Eq(cts.FieldRole, "admin")}
	in, within, and, or := cts.In(cts.FieldCode, values...), cts.Within(cts.FieldSourceIP, nets...), cts.And(parts...), cts.Or(parts...)
	values[0], nets[0], parts[0] = "x", netip.MustParsePrefix("11.0.0.0/8"), cts.Eq(cts.FieldRole, "x")
	tr := &cts.Trace{Code: "a", SourceIP: "10.0.0.1", Ext: cts.Ext{Role: "admin"}}
	for _, c := range []cts.Condition{in, within, and, or} {
		if !c.Match(tr) {
			t.Errorf("%+v changed with the slice that it was made of", c)
		}
	}
}

func TestBadConditions(t *testing.T) {
	deep := cts.Present(cts.FieldCode)
	for range 65 {
		deep = cts.Not(deep)
	}
	for _, c := range []struct {
		condition cts.Condition
		want      string // in the error
	}{
		{cts.Eq("no_such_field", "x"), `no field "no_such_field"`},
		{cts.Eq("", "x"), "no field"},
		{cts.Eq("resource_url", "x"), "no field"},
		{cts.Eq("labels.", "x"), "no field"},
		{cts.And(cts.Or(cts.Not(cts.Eq("Code", "x")))), "no field"},
		{cts.Less(cts.FieldRequest, 1), "request is not a number"},
		{cts.GreaterEqual(cts.Label("n"), 1), "not a number"},
		{cts.Within(cts.FieldUser, netip.MustParsePrefix("10.0.0.0/8")), "not an address"},
		{cts.Within(cts.FieldSourceIP, netip.Prefix{}), "invalid network"},
		{cts.Word(cts.FieldMessage, ""), "not one word"},
		{cts.Word(cts.FieldMessage, "two words"), "not one word"},
		{cts.Word(cts.FieldMessage, "quota_"), "not one word"},
		{cts.Word(cts.FieldMessage, "a-b").IgnoreCase(), "not one word"},
		{cts.Condition{Op: cts.OpWord, Field: cts.FieldMessage, Values: []string{"good", "b d"}}, "not one word"},
		{cts.Condition{Op: cts.OpNot}, "Not takes one"},
		{cts.Condition{Op: cts.OpNot, Conditions: make([]cts.Condition, 2)}, "Not takes one"},
		{cts.Condition{Op: cts.OpWord + 1, Field: cts.FieldCode}, "does not exist"},
		{deep, "nested deeper"},
	} {
		err := cts.Query{Condition: c.condition}.Validate()
		if !errors.Is(err, cts.ErrBadQuery) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want ErrBadQuery with %q", c.condition, err, c.want)
		}
		c.condition.Match(new(cts.Trace)) // bad as it is, it must not panic
	}
	if err := (cts.Query{Condition: deep.Conditions[0]}).Validate(); err != nil {
		t.Errorf("64 levels: %v", err)
	}
}
