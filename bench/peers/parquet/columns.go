package parquet

import (
	"github.com/cloudtraceservice/cts"
)

// row is a trace as the files hold it: a column for each member, and one for what
// few traces have. All columns are required, an absent member is empty, so that no
// column needs definition levels. Few-valued columns have dictionaries, numbers and
// lengths are stored as differences, and ids that are UUIDs take 16 bytes.
type row struct {
	Time              int64  `parquet:"time,delta"`
	RecordTime        int64  `parquet:"record_time,delta"`
	ID                string `parquet:"trace_id,delta"`
	Name              string `parquet:"trace_name,dict"`
	Type              string `parquet:"trace_type,dict"`
	Rating            string `parquet:"trace_rating,dict"`
	EventType         string `parquet:"event_type,dict"`
	ServiceType       string `parquet:"service_type,dict"`
	ResourceType      string `parquet:"resource_type,dict"`
	ResourceName      string `parquet:"resource_name,delta"`
	ResourceID        string `parquet:"resource_id,delta"`
	ResourceURL       string `parquet:"resource_url,delta"`
	ResourceAccountID string `parquet:"resource_account_id,dict"`
	SourceIP          string `parquet:"source_ip,dict"`
	UserName          string `parquet:"user_name,dict"`
	User              string `parquet:"user,dict"` // the whole object as JSON
	UserAgent         string `parquet:"user_agent,dict"`
	Code              string `parquet:"code,dict"`
	Request           string `parquet:"request,delta"`
	Response          string `parquet:"response,delta"`
	Message           string `parquet:"message,delta"`
	APIVersion        string `parquet:"api_version,dict"`
	RequestID         string `parquet:"request_id,delta"`
	OperationID       string `parquet:"operation_id,delta"`
	LocationInfo      string `parquet:"location_info,delta"`
	Endpoint          string `parquet:"endpoint,dict"`
	ReadOnly          int32  `parquet:"read_only,dict"`
	ProjectID         string `parquet:"project_id,dict"`
	DomainID          string `parquet:"domain_id,dict"`
	EnterpriseProject string `parquet:"enterprise_project_id,dict"`
	TrackerName       string `parquet:"tracker_name,dict"`
	ContentLength     int64  `parquet:"content_length,delta"`
	TotalTime         int64  `parquet:"total_time,delta"`
	IsConsistent      int32  `parquet:"is_consistent,dict"`
	Rest              string `parquet:"rest,delta"` // JSON of a trace that has ext and unknown members only, or empty
}

// rowOf returns the row of t.
func rowOf(t *cts.Trace) row {
	return row{
		Time: t.Time, RecordTime: t.RecordTime, ID: packID(t.ID), Name: t.Name, Type: string(t.Type), Rating: string(t.Rating),
		EventType: string(t.EventType), ServiceType: t.ServiceType, ResourceType: t.ResourceType,
		ResourceName: t.ResourceName, ResourceID: packID(t.ResourceID), ResourceURL: t.ResourceURL,
		ResourceAccountID: t.ResourceAccountID, SourceIP: t.SourceIP, UserName: t.User.Name, User: userJSON(t),
		UserAgent: t.UserAgent, Code: t.Code, Request: t.Request, Response: t.Response, Message: t.Message,
		APIVersion: t.APIVersion, RequestID: packID(t.RequestID), OperationID: t.OperationID, LocationInfo: t.LocationInfo,
		Endpoint: t.Endpoint, ReadOnly: int32(t.ReadOnly), ProjectID: t.ProjectID, DomainID: t.DomainID,
		EnterpriseProject: t.EnterpriseProjectID, TrackerName: t.TrackerName, ContentLength: t.ContentLength,
		TotalTime: t.TotalTime, IsConsistent: int32(t.IsConsistent), Rest: rest(t),
	}
}

// blank is the canonical JSON of a trace without anything. It ends with the empty
// user.
var blank = string((&cts.Trace{}).AppendJSON(nil))

// userJSON returns the user object, "" for an empty one.
func userJSON(t *cts.Trace) string {
	if t.User.IsZero() {
		return ""
	}
	whole := (&cts.Trace{User: t.User}).AppendJSON(nil)
	return string(whole[len(blank)-len("{}}") : len(whole)-len("}")])
}

// rest returns what has no column.
func rest(t *cts.Trace) string {
	other := cts.Trace{Ext: t.Ext, Unknown: t.Unknown}
	text := string(other.AppendJSON(nil))
	if text == blank {
		return ""
	}
	return text
}
