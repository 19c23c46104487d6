package duckdb

import (
	"database/sql/driver"
	"strings"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/peers/internal/row"
)

// column is one of the table's: every member of a trace has its own, so that each is
// compressed by itself. The user is JSON, and so is what remains: ext and the members
// that the format doesn't know.
type column struct {
	name, kind string
	value      func(t *cts.Trace) driver.Value
}

const (
	number  = "BIGINT NOT NULL"
	text    = "VARCHAR NOT NULL"
	long    = "VARCHAR NOT NULL USING COMPRESSION zstd"
	boolean = "BOOLEAN"
)

// The first columns are those that an answer needs, in the order of [into].
var columns = []column{
	{"time", number, func(t *cts.Trace) driver.Value { return t.Time }},
	{"trace_id", text, func(t *cts.Trace) driver.Value { return t.ID }},
	{"service_type", text, func(t *cts.Trace) driver.Value { return t.ServiceType }},
	{"trace_name", text, func(t *cts.Trace) driver.Value { return t.Name }},
	{"trace_rating", text, func(t *cts.Trace) driver.Value { return string(t.Rating) }},
	{"resource_id", text, func(t *cts.Trace) driver.Value { return t.ResourceID }},
	{"user_name", text, func(t *cts.Trace) driver.Value { return t.User.Name }},
	{"source_ip", text, func(t *cts.Trace) driver.Value { return t.SourceIP }},
	{"record_time", number, func(t *cts.Trace) driver.Value { return t.RecordTime }},
	{"trace_type", text, func(t *cts.Trace) driver.Value { return string(t.Type) }},
	{"event_type", text, func(t *cts.Trace) driver.Value { return string(t.EventType) }},
	{"resource_type", text, func(t *cts.Trace) driver.Value { return t.ResourceType }},
	{"resource_name", text, func(t *cts.Trace) driver.Value { return t.ResourceName }},
	{"resource_url", text, func(t *cts.Trace) driver.Value { return t.ResourceURL }},
	{"resource_account_id", text, func(t *cts.Trace) driver.Value { return t.ResourceAccountID }},
	{"user_agent", text, func(t *cts.Trace) driver.Value { return t.UserAgent }},
	{"code", text, func(t *cts.Trace) driver.Value { return t.Code }},
	{"api_version", text, func(t *cts.Trace) driver.Value { return t.APIVersion }},
	{"request_id", text, func(t *cts.Trace) driver.Value { return t.RequestID }},
	{"operation_id", text, func(t *cts.Trace) driver.Value { return t.OperationID }},
	{"location_info", text, func(t *cts.Trace) driver.Value { return t.LocationInfo }},
	{"endpoint", text, func(t *cts.Trace) driver.Value { return t.Endpoint }},
	{"read_only", boolean, func(t *cts.Trace) driver.Value { return nullable(t.ReadOnly) }},
	{"project_id", text, func(t *cts.Trace) driver.Value { return t.ProjectID }},
	{"domain_id", text, func(t *cts.Trace) driver.Value { return t.DomainID }},
	{"enterprise_project_id", text, func(t *cts.Trace) driver.Value { return t.EnterpriseProjectID }},
	{"tracker_name", text, func(t *cts.Trace) driver.Value { return t.TrackerName }},
	{"content_length", number, func(t *cts.Trace) driver.Value { return t.ContentLength }},
	{"total_time", number, func(t *cts.Trace) driver.Value { return t.TotalTime }},
	{"is_consistent", boolean, func(t *cts.Trace) driver.Value { return nullable(t.IsConsistent) }},
	{"request", long, func(t *cts.Trace) driver.Value { return t.Request }},
	{"response", text, func(t *cts.Trace) driver.Value { return t.Response }},
	{"message", text, func(t *cts.Trace) driver.Value { return t.Message }},
}

// bodies is how many columns at the end are left out when only heads are wanted.
const bodies = 3

func nullable(b cts.Bool) driver.Value {
	if b == cts.Unset {
		return nil
	}
	return b == cts.True
}

// schema is the table. seq is the order of loading.
func schema() string {
	var b strings.Builder
	b.WriteString("CREATE TABLE IF NOT EXISTS traces (seq BIGINT NOT NULL, user_json VARCHAR NOT NULL, rest VARCHAR NOT NULL")
	for _, c := range columns {
		b.WriteString(", " + c.name + " " + c.kind)
	}
	return b.String() + ")"
}

// values are the row of r in the order of schema.
func values(dst []driver.Value, seq int64, r contest.Record) []driver.Value {
	user, rest := "{}", ""
	for key, member := range row.Members(r.JSON) {
		switch {
		case string(key) == "user":
			user = string(member[len(`"user":`):])
		case !named[string(key)]:
			rest += "," + string(member)
		}
	}
	if rest != "" {
		rest = "{" + rest[1:] + "}"
	}
	dst = append(dst, seq, user, rest)
	for _, c := range columns {
		dst = append(dst, c.value(r.Trace))
	}
	return dst
}

// named are the members with a column.
var named = func() map[string]bool {
	names := map[string]bool{}
	for _, c := range columns {
		names[c.name] = true
	}
	delete(names, "user_name") // within the user
	return names
}()

// selected is the list of the columns that are read.
func selected(heads bool) string {
	list := columns
	if heads {
		list = list[:len(list)-bodies]
	}
	var b strings.Builder
	b.WriteString("seq, user_json, rest")
	for _, c := range list {
		b.WriteString(", " + c.name)
	}
	return b.String()
}

// into is where the columns go that an answer needs, and one place for all others.
func into(r *row.Row, seq *int64, heads bool) []any {
	var other any
	to := []any{seq, &other, &other, &r.Time, &r.ID, &r.Service, &r.Name, &r.Rating, &r.ResourceID, &r.User, &r.SourceIP}
	for len(to) < 3+len(columns)-bodies {
		to = append(to, &other)
	}
	if !heads {
		to = append(to, &r.Request, &r.Response, &other)
	}
	return to
}
