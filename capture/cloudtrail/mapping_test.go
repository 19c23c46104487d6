package cloudtrail_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/capture/cloudtrail"
)

// event returns a small event with further members: text that begins with a comma.
func event(members string) string {
	return `{"eventID":"e1","eventTime":"2023-07-10T11:42:20Z","eventName":"DescribeInstances"` + members + `}`
}

func mapped(t *testing.T, event string) *cts.Trace {
	t.Helper()
	tr, err := cloudtrail.Map([]byte(event))
	if err != nil {
		t.Fatalf("Map(%s): %v", event, err)
	}
	return tr
}

const fullEvent = ` {
	"eventVersion": "1.08",
	"userIdentity": {"type": "IAMUser", "principalId": "AIDAEXAMPLE", "arn": "arn:aws:iam::123456789012:user/ops/Alice",
		"accountId": "123456789012", "accessKeyId": "AKIAEXAMPLE", "userName": "Alice",
		"sessionContext": {"sessionIssuer": {}, "webIdFederationData": {},
			"attributes": {"creationDate": "2023-07-10T11:00:00Z", "mfaAuthenticated": "true"}},
		"invokedBy": "cloudformation.amazonaws.com"},
	"eventTime": "2023-07-10T11:42:20Z",
	"eventSource": "s3.amazonaws.com",
	"eventName": "PutBucketPolicy",
	"awsRegion": "us-east-1",
	"sourceIPAddress": "203.0.113.7",
	"userAgent": "aws-cli/2.0 <\u00e9>",
	"errorCode": "AccessDenied",
	"errorMessage": "Access Denied",
	"requestParameters": { "bucketName": "logs", "ratio": 1.50, "policy": "<\u0041&>" },
	"responseElements": [ 1 , 2 ],
	"additionalEventData": {"n": 1e2, "x": "<"},
	"requestID": "R1",
	"eventID": "6f5c2e8e-0000-4000-8000-000000000001",
	"readOnly": false,
	"resources": [
		{"accountId": "210987654321", "type": "AWS::S3::Object", "ARN": "arn:aws:s3:::logs/2023/a.gz"},
		{"type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::logs"}],
	"eventType": "AwsApiCall",
	"apiVersion": "2006-03-01",
	"managementEvent": true,
	"recipientAccountId": "123456789012",
	"sharedEventID": "S1",
	"vpcEndpointId": "vpce-1",
	"eventCategory": "Management",
	"tlsDetails": {"tlsVersion": "TLSv1.2"}
} `

func TestMapEveryField(t *testing.T) {
	unknown, err := cts.Members("").With("cloudtrail", []byte(`{"eventVersion":"1.08",
		"userIdentity":{"type":"IAMUser","principalId":"AIDAEXAMPLE","arn":"arn:aws:iam::123456789012:user/ops/Alice",
		"accountId":"123456789012","accessKeyId":"AKIAEXAMPLE","userName":"Alice",
		"sessionContext":{"sessionIssuer":{},"webIdFederationData":{},"attributes":{"creationDate":"2023-07-10T11:00:00Z",
		"mfaAuthenticated":"true"}},"invokedBy":"cloudformation.amazonaws.com"},
		"eventTime":"2023-07-10T11:42:20Z","eventSource":"s3.amazonaws.com","eventName":"PutBucketPolicy",
		"awsRegion":"us-east-1","sourceIPAddress":"203.0.113.7","userAgent":"aws-cli/2.0 <é>","errorCode":"AccessDenied",
		"errorMessage":"Access Denied","additionalEventData":{"n":1e2,"x":"<"},"requestID":"R1",
		"eventID":"6f5c2e8e-0000-4000-8000-000000000001","readOnly":false,"resources":[
		{"accountId":"210987654321","type":"AWS::S3::Object","ARN":"arn:aws:s3:::logs/2023/a.gz"},
		{"type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::logs"}],"eventType":"AwsApiCall","apiVersion":"2006-03-01",
		"managementEvent":true,"recipientAccountId":"123456789012","sharedEventID":"S1","vpcEndpointId":"vpce-1",
		"eventCategory":"Management","tlsDetails":{"tlsVersion":"TLSv1.2"}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := &cts.Trace{
		Time: 1688989340000, Name: "PutBucketPolicy", Type: cts.TypeAPI, Rating: cts.RatingWarning, EventType: cts.EventSystem,
		ServiceType: "S3", ResourceType: "AWS::S3::Object", ResourceID: "arn:aws:s3:::logs/2023/a.gz",
		ResourceName: "2023/a.gz", ResourceAccountID: "210987654321", SourceIP: "203.0.113.7",
		User: cts.User{
			ID: "AIDAEXAMPLE", Name: "Alice", UserName: "Alice", Domain: cts.Domain{ID: "123456789012"},
			AccountID: "123456789012", AccessKeyID: "AKIAEXAMPLE", PrincipalURN: "arn:aws:iam::123456789012:user/ops/Alice",
			PrincipalID: "AIDAEXAMPLE", PrincipalIsRootUser: "false", Type: "IAMUser",
			InvokedBy: []string{"cloudformation.amazonaws.com"},
			SessionContext: cts.SessionContext{Attributes: cts.SessionAttributes{
				CreatedAt: "1688986800000", MFAAuthenticated: "true",
			}},
		},
		UserAgent: "aws-cli/2.0 <é>", Request: `{"bucketName":"logs","ratio":1.50,"policy":"<\u0041&>"}`, Response: `[1,2]`,
		Message: "Access Denied", APIVersion: "2006-03-01", RequestID: "R1", ReadOnly: cts.False, DomainID: "123456789012",
		Ext: cts.Ext{
			Outcome:   cts.OutcomeDenied,
			Resources: []cts.Resource{{Type: "AWS::S3::Bucket", ID: "arn:aws:s3:::logs", Name: "logs"}},
			Labels: map[string]string{
				"aws_region": "us-east-1", "error_code": "AccessDenied", "shared_event_id": "S1", "vpc_endpoint_id": "vpce-1",
			},
			Source: cts.Source{Name: "aws-cloudtrail/123456789012", ID: "6f5c2e8e-0000-4000-8000-000000000001"},
		},
		Unknown: unknown,
	}
	if diff := cmp.Diff(want, mapped(t, fullEvent)); diff != "" {
		t.Errorf("trace (-want +got):\n%s", diff)
	}
}

func TestMapSmallestEvent(t *testing.T) {
	got := mapped(t, event(""))
	want := &cts.Trace{
		Time: 1688989340000, Name: "DescribeInstances", Type: cts.TypeOthers, Rating: cts.RatingNormal,
		EventType: cts.EventSystem,
		Ext:       cts.Ext{Outcome: cts.OutcomeSuccess, Source: cts.Source{Name: "aws-cloudtrail", ID: "e1"}},
		Unknown:   cts.Members(`"cloudtrail":` + event("")),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("trace (-want +got):\n%s", diff)
	}
}

// TestMapField checks one field of the trace for one event each.
func TestMapField(t *testing.T) {
	outcome := func(t *cts.Trace) string { return string(t.Rating) + " " + string(t.Ext.Outcome) + " " + t.Code }
	service := func(t *cts.Trace) string { return t.ServiceType }
	traceType := func(t *cts.Trace) string { return string(t.Type) }
	eventType := func(t *cts.Trace) string { return string(t.EventType) }
	readOnly := func(t *cts.Trace) string { return t.ReadOnly.String() }
	name := func(t *cts.Trace) string { return t.Name + " " + t.ServiceType }
	bodies := func(t *cts.Trace) string { return t.Request + " " + t.Response }
	tests := []struct {
		members string
		field   func(*cts.Trace) string
		want    string
	}{
		{`,"eventSource":"ec2.amazonaws.com"`, service, "EC2"},
		{`,"eventSource":"ec2.amazonaws.com.cn"`, service, "EC2"},
		{`,"eventSource":"ingestion.timestream.amazonaws.com"`, service, "INGESTION.TIMESTREAM"},
		{`,"eventSource":"custom"`, service, "CUSTOM"},
		{`,"eventSource":null`, service, ""},

		{`,"eventType":"AwsApiCall"`, traceType, "ApiCall"},
		{`,"eventType":"AwsVpceEvent"`, traceType, "ApiCall"},
		{`,"eventType":"AwsServiceEvent"`, traceType, "SystemAction"},
		{`,"eventType":"AwsCloudTrailInsight"`, traceType, "SystemAction"},
		{`,"eventType":"AwsConsoleSignIn"`, traceType, "ConsoleAction"},
		{`,"eventType":"AwsConsoleAction"`, traceType, "ConsoleAction"},
		{`,"eventType":"Other"`, traceType, "Others"},
		{`,"eventType":"AwsApiCall","sessionCredentialFromConsole":"true"`, traceType, "ConsoleAction"},
		{`,"eventType":"AwsApiCall","sessionCredentialFromConsole":true`, traceType, "ConsoleAction"},
		{`,"eventType":"AwsApiCall","sessionCredentialFromConsole":"false"`, traceType, "ApiCall"},

		{`,"eventCategory":"Management","managementEvent":true`, eventType, "system"},
		{`,"eventCategory":"Data","managementEvent":false`, eventType, "data"},
		{`,"eventCategory":"NetworkActivity"`, eventType, "data"},
		{`,"eventCategory":"Insight"`, eventType, "system"},
		{`,"managementEvent":false`, eventType, "data"},
		{`,"managementEvent":true`, eventType, "system"},

		{`,"readOnly":true`, readOnly, "true"},
		{`,"readOnly":false`, readOnly, "false"},
		{`,"readOnly":"true"`, readOnly, "true"},
		{`,"readOnly":null`, readOnly, ""},

		{`,"errorCode":"AccessDeniedException"`, outcome, "warning denied "},
		{`,"errorCode":"KMS.AccessDenied"`, outcome, "warning denied "},
		{`,"errorCode":"VpceAccessDenied"`, outcome, "warning denied "},
		{`,"errorCode":"Client.UnauthorizedOperation"`, outcome, "warning denied "},
		{`,"errorCode":"Client.AuthFailure"`, outcome, "warning denied "},
		{`,"errorCode":"NotAuthorizedException"`, outcome, "warning denied "},
		{`,"errorCode":"ExpiredToken"`, outcome, "warning denied "},
		{`,"errorCode":"403"`, outcome, "warning denied 403"},
		{`,"errorCode":404`, outcome, "warning failure 404"},
		{`,"errorCode":"NoSuchBucket"`, outcome, "warning failure "},
		{`,"errorCode":"Server.InternalError"`, outcome, "warning failure "},
		{`,"errorMessage":"it broke"`, outcome, "warning failure "},
		{`,"errorCode":null,"errorMessage":null`, outcome, "normal success "},
		{`,"eventType":"AwsConsoleSignIn","responseElements":{"ConsoleLogin":"Success"}`, outcome, "normal success "},
		{`,"eventType":"AwsConsoleSignIn","responseElements":{"ConsoleLogin":"Failure"}`, outcome, "warning denied "},
		{`,"eventType":"AwsConsoleSignIn","responseElements":{"SwitchRole":"Failure"}`, outcome, "warning denied "},
		{`,"eventType":"AwsApiCall","responseElements":{"ConsoleLogin":"Failure"}`, outcome, "normal success "},

		{`,"requestParameters":null,"responseElements":null`, bodies, " "},
		{`,"requestParameters":"***","responseElements":{}`, bodies, " {}"},
		{`,"requestParameters":{ "a" : [ ] },"responseElements":[]`, bodies, `{"a":[]} []`},
		{`,"requestParameters":{"a":"` + "\xff" + `"}`, bodies, `{"a":"` + "\ufffd" + `"} `},
		{`,"eventType":"X","eventSource":7`, name, "DescribeInstances 7"},
	}
	for _, tt := range tests {
		if got := tt.field(mapped(t, event(tt.members))); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.members, got, tt.want)
		}
	}
}

func TestMapInsight(t *testing.T) {
	got := mapped(t, `{"eventVersion":"1.07","eventTime":"2023-07-10T11:42:20.500+02:00","eventID":"e1",
		"eventType":"AwsCloudTrailInsight","eventCategory":"Insight",
		"insightDetails":{"state":"Start","eventSource":"ec2.amazonaws.com","eventName":"RunInstances"}}`)
	if got.Name != "AwsCloudTrailInsight" || got.ServiceType != "EC2" || got.Type != cts.TypeSystem || got.Time != 1688982140500 {
		t.Errorf("name %q, service %q, type %q, time %d", got.Name, got.ServiceType, got.Type, got.Time)
	}
}

func TestMapDoesNotKeepTheEvent(t *testing.T) {
	text := []byte(fullEvent)
	got, err := cloudtrail.Map(text)
	if err != nil {
		t.Fatal(err)
	}
	for i := range text {
		text[i] = 'x'
	}
	if diff := cmp.Diff(mapped(t, fullEvent), got); diff != "" {
		t.Errorf("the trace changed with the text:\n%s", diff)
	}
}

func TestMapErrors(t *testing.T) {
	deep := strings.Repeat("[", 128) + strings.Repeat("]", 128)
	tests := []struct {
		name, event  string
		line, column int
		field        string
		reason       string
	}{
		{"empty", ``, 1, 1, "", "ends"},
		{"space", " \n ", 2, 2, "", "ends"},
		{"not an object", "\n [1]", 2, 2, "", "an object"},
		{"broken", `{"eventID":tru}`, 1, 15, "", "expected true"},
		{"cut", `{"eventID":"e`, 1, 14, "", "ends"},
		{"two", event("") + "\n" + event(""), 2, 1, "", "behind"},
		{"too deep", event(`,"x":` + deep), 1, 215, "", "nested deeper than 128"},
		{"no id", `{"eventTime":"2023-07-10T11:42:20Z","eventName":"A"}`, 1, 1, "eventID", "missing"},
		{"null id", "{\"eventTime\":\"2023-07-10T11:42:20Z\",\n\"eventID\": null}", 2, 12, "eventID", "not empty"},
		{"long id", `{"eventID":"` + strings.Repeat("e", 201) + `"}`, 1, 1, "eventID", "too long"},
		{"no time", `{"eventID":"e1"}`, 1, 1, "eventTime", "missing"},
		{"empty time", `{"eventID":"e1","eventTime":""}`, 1, 29, "eventTime", "not empty"},
		{"bad time", `{"eventID":"e1","eventTime":"yesterday"}`, 1, 29, "eventTime", "RFC 3339"},
		{"old time", `{"eventID":"e1","eventTime":"1999-01-01T00:00:00Z"}`, 1, 29, "eventTime", "years"},
		{"no name", `{"eventID":"e1","eventTime":"2023-07-10T11:42:20Z"}`, 1, 1, "eventName", "missing"},
		{"twice", "{\"eventID\":\"e1\",\n \"event\\u0049D\":\"e2\"}", 2, 2, "eventID", "twice"},
		{"twice in the user", event(`,"userIdentity":{"type":"Root","type":"IAMUser"}`), 1, 114, "type", "twice"},
		{"twice in the session", event(`,"userIdentity":{"sessionContext":{"attributes":{"a":1,"a":1}}}`), 1, 138, "a", "twice"},
		{"twice in a resource", event(`,"resources":[{"ARN":"a","ARN":"b"}]`), 1, 108, "ARN", "twice"},
		{"twice, long", event(`,"` + strings.Repeat("x", 70) + `":1,"` + strings.Repeat("x", 70) + `":1`), 1, 159, "", "twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := cloudtrail.Map([]byte(tt.event))
			var pe *cts.ParseError
			if !errors.As(err, &pe) || !errors.Is(err, cts.ErrInvalidTrace) {
				t.Fatalf("error %v, want a *cts.ParseError", err)
			}
			if pe.Line != tt.line || pe.Column != tt.column || pe.Field != tt.field || !strings.Contains(pe.Reason, tt.reason) {
				t.Errorf("got %v, want line %d, column %d, member %q, %q", err, tt.line, tt.column, tt.field, tt.reason)
			}
			if want := strings.LastIndexByte(tt.event[:pe.Offset], '\n') + tt.column; int(pe.Offset) != want {
				t.Errorf("offset %d, want %d", pe.Offset, want)
			}
		})
	}
}

func TestMapKeepsRepeatedNamesInParameters(t *testing.T) {
	got := mapped(t, event(`,"requestParameters":{"a":1,"a":2},"additionalEventData":{"b":1,"b":2}`))
	if got.Request != `{"a":1,"a":2}` || !strings.Contains(string(got.Unknown), `{"b":1,"b":2}`) {
		t.Errorf("request %s, unknown %s", got.Request, got.Unknown)
	}
}
