package cloudtrail_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/capture/cloudtrail"
	"github.com/cloudtraceservice/cts/store/memstore"
)

const logFile = `{"Records":[
{"eventVersion":"1.08","eventID":"a1","eventTime":"2023-07-10T11:42:20Z","eventType":"AwsApiCall",
 "eventSource":"s3.amazonaws.com","eventName":"DeleteBucket","awsRegion":"us-east-1","recipientAccountId":"123456789012",
 "userIdentity":{"type":"IAMUser","userName":"Alice"},"errorCode":"AccessDenied","requestParameters":{"bucketName":"logs"}},
{"eventVersion":"1.08","eventID":"a2"},
{"eventVersion":"1.08","eventID":"a3","eventTime":"2023-07-10T11:43:02Z","eventType":"AwsApiCall",
 "eventSource":"sts.amazonaws.com","eventName":"GetSessionToken","recipientAccountId":"123456789012",
 "userIdentity":{"type":"IAMUser","userName":"Alice"},
 "responseElements":{"credentials":{"accessKeyId":"ASIA1","sessionToken":"FwoGZXIvYXdzEXAMPLE"}}}
]}`

func ExampleReader() {
	r := cloudtrail.NewReader(strings.NewReader(logFile), nil)
	for t, err := range r.All() {
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(t.User.Name, t.Ext.Outcome, t.ServiceType, t.Name, t.ResourceName)
	}
	// Output:
	// Alice denied S3 DeleteBucket logs
	// cts: line 5, column 1 (offset 359): member "eventTime": missing
	// Alice success STS GetSessionToken
}

// Import a file, search it by the code of an error, and get an event back.
func Example() {
	ctx := context.Background()
	store := memstore.New(nil)
	defer store.Close()
	tracker, err := cts.Open(ctx, store, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	var traces []*cts.Trace
	for t, err := range cloudtrail.NewReader(strings.NewReader(logFile), nil).All() {
		if err == nil {
			traces = append(traces, t)
		}
	}
	result, err := tracker.Import(ctx, traces)
	fmt.Println(result.Stored, result.Existing, err)

	denied := cts.Query{}.Where(cts.Eq(cts.Label(cloudtrail.LabelErrorCode), "AccessDenied"))
	for e, err := range store.Query(ctx, denied) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(e.Trace.Ext.Source.ID, e.Trace.Name, e.Trace.Request)
	}
	tokens := cts.Query{}.Where(cts.Eq(cts.FieldTraceName, "GetSessionToken"))
	for e, err := range store.Query(ctx, tokens) {
		if err != nil {
			fmt.Println(err)
			return
		}
		event, err := cloudtrail.Restore(e.Trace)
		fmt.Println(strings.Contains(string(event), "********"), e.Trace.Ext.Redacted[0].Field, err)
	}
	fmt.Println(tracker.Close(ctx))
	// Output:
	// 2 0 <nil>
	// a1 DeleteBucket {"bucketName":"logs"}
	// true response.credentials.sessionToken <nil>
	// <nil>
}

func ExampleRestore() {
	t, err := cloudtrail.Map([]byte(`{"eventID":"a1", "requestParameters":{"n":1.50}, "eventName":"A", "eventTime":"2023-07-10T11:42:20Z"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	event, err := cloudtrail.Restore(t)
	fmt.Println(string(event), err)

	_, err = cloudtrail.Restore(&cts.Trace{})
	fmt.Println(errors.Is(err, cloudtrail.ErrIncomplete))
	// Output:
	// {"eventID":"a1","eventName":"A","eventTime":"2023-07-10T11:42:20Z","requestParameters":{"n":1.50}} <nil>
	// true
}
