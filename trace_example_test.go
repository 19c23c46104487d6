package cts_test

import (
	"context"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/cloudtraceservice/cts"
)

func ExampleTrace_AppendJSON() {
	t := cts.Trace{
		ID:          "0190f5c2-7d3a-7c1e-9a64-3f0b8e2d5a17",
		Time:        1718777931170,
		RecordTime:  1718777931174,
		Name:        "deleteVolume",
		Type:        cts.TypeAPI,
		Rating:      cts.RatingWarning,
		ServiceType: "EVS",
		User:        cts.User{Name: "anna"},
		Code:        "403",
		Ext:         cts.Ext{Outcome: cts.OutcomeDenied},
	}
	var buf []byte
	buf = t.AppendJSON(buf[:0]) // the next trace may use the same memory
	fmt.Println(string(buf))
	// Output:
	// {"trace_id":"0190f5c2-7d3a-7c1e-9a64-3f0b8e2d5a17","time":1718777931170,"record_time":1718777931174,"trace_name":"deleteVolume","trace_type":"ApiCall","trace_rating":"warning","service_type":"EVS","resource_type":"","source_ip":"","user":{"name":"anna"},"code":"403","ext":{"v":1,"outcome":"denied"}}
}

func ExampleParseTrace() {
	t, err := cts.ParseTrace([]byte(`{"trace_name": "login", "user": {"name": "anna"}, "shoe_size": 42}`))
	if err != nil {
		log.Fatal(err)
	}
	size, _ := t.Unknown.Get("shoe_size")
	fmt.Println(t.User.Name, t.Name, size)

	_, err = cts.ParseTrace([]byte("{\"trace_name\": \"login\",\n \"time\": \"noon\"}"))
	fmt.Println(err)
	// Output:
	// anna login 42
	// cts: line 2, column 10 (offset 33): member "time": expected a number, found '"'
}

func ExampleDecoder() {
	stream := strings.NewReader(`
		{"traces": [
			{"trace_name": "createTopic", "time": "2017-02-15 14:21:50 GMT+08:00", "user": "anna"},
			{"trace_name": "deleteTopic", "time": "some day"}
		]}
		{"cts": {"trace_name": "deleteGraph", "time": 1529996047000, "user": {"name": "bob"}}}`)
	for t, err := range cts.NewDecoder(stream, nil).All() {
		if err != nil {
			fmt.Println(err) // about one trace: the decoder goes on behind it
			continue
		}
		fmt.Println(time.UnixMilli(t.Time).UTC().Format(time.DateTime), t.Name, "by", t.User.Name)
	}
	// Output:
	// 2017-02-15 06:21:50 createTopic by anna
	// cts: line 4, column 42 (offset 148): member "time": not a time in any spelling of CTS
	// 2018-06-26 06:54:07 deleteGraph by bob
}

func ExampleQuery() {
	var store cts.Reader = listOf(1718777931170, 1718777932170, 1718777933170, 1718777934170)

	from := time.UnixMilli(1718777932000)
	q := cts.Query{}.
		Where(cts.Eq(cts.FieldCode, "200"), cts.Not(cts.Eq(cts.FieldTraceID, "t4"))).
		Between(from, from.Add(time.Hour)).
		Limited(1)
	for {
		page, err := cts.ReadPage(context.Background(), store, q)
		if err != nil {
			log.Fatal(err)
		}
		for _, t := range page.Traces {
			fmt.Println(t.ID)
		}
		if page.Next == "" {
			break
		}
		q = q.Resume(page.Next)
	}
	// Output:
	// t3
	// t2
}
