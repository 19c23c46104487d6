package cts_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
)

const samples = "../shared/data/cts-samples"

// sampleFile returns a published text of CTS.
func sampleFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(samples, name))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("the samples of CTS are not here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// decodeAll returns what a Decoder makes of r.
func decodeAll(r io.Reader, opts *cts.DecoderOptions) (traces []*cts.Trace, errs []error) {
	for t, err := range cts.NewDecoder(r, opts).All() {
		if err != nil {
			errs = append(errs, err)
		} else {
			traces = append(traces, t)
		}
	}
	return traces, errs
}

func mustDecode(t *testing.T, r io.Reader) []*cts.Trace {
	t.Helper()
	traces, errs := decodeAll(r, nil)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return traces
}

// clock is a moment in China, where CTS writes its dates.
func clock(year int, month time.Month, day, hour, minute, sec int) int64 {
	return time.Date(year, month, day, hour, minute, sec, 0, time.FixedZone("", 8*60*60)).UnixMilli()
}

// sampleWant is what must be read from the first trace of a file.
type sampleWant struct {
	file             string
	traces           int
	time, recordTime int64
	user             cts.User
	code             string
	rating           cts.Rating
	request          string // how it begins
	response         string
	unknown          cts.Members
}

func sampleWants() []sampleWant {
	const updateFailed = `{"code":"VPC.0514","message":"Update port fail."}`
	const assumedBy = `"assumedBy":{"user":{"name":"bss_bm_admin","id":"c5140af45b5d4b399dea8f900f1dcf1b",` +
		`"domain":{"name":"op_service","id":"71ce673175024d0495664e525e52bac0"}}}`
	x := cts.User{Name: "xxx", Domain: cts.Domain{Name: "xxx", ID: "ded649d814464428ba89d04d7955c93e"}}
	xAssumed := x
	xAssumed.Unknown = assumedBy
	aaa := cts.User{
		Name: "aaa", ID: "26e96eda18034ae9a44130bacb967b96",
		Domain: cts.Domain{Name: "aaa", ID: "1f9b9ba51f6b4061bd5c1736b28469f8"},
	}
	agency := aaa
	agency.Name, agency.ID = "aaa/op_service", "f2fe9fac63414a35a7d03108d5f1ea73"
	graph := cts.User{
		Name: "userName", ID: "5b726c4fbfd84821ba866bafaaf56aax",
		Domain: cts.Domain{Name: "domainName", ID: "b2b3853af40448fcb9e40dxj89505ba"},
	}
	v2 := cts.User{
		Name: "xxx", ID: "a2e899190fcd444084a68fc0ac2sc1e9",
		Domain: cts.Domain{Name: "xxx", ID: "05b2598d69bc4a209f9ac5eeeb1f91ad"},
	}
	admin := cts.User{
		ID: "f36972ced***d619f1214", Name: "IAMUserA", UserName: "IAMUserA", Type: "User", AccountID: "7e0d78c85***d0b9b7cba",
		Domain:      cts.Domain{Name: "IAMDomainB", ID: "7e0d78c85***d0b9b7cba"},
		AccessKeyID: "HSTAZVL6WYS0J5MYE2GA", PrincipalIsRootUser: "true", PrincipalID: "f36972ced***d619f1214",
		PrincipalURN: "iam::7e0d78c85***d0b9b7cba:user:IAMUserA",
	}
	return []sampleWant{
		{"api-v1-list-traces-2022-missing-commas.repaired.json", 2, 1472148708232, 1481066128032, xAssumed, "200", "warning", "", updateFailed, ""},
		{"api-v2-list-traces-2022-missing-commas.repaired.json", 2, 1472148708232, 1481066128032, v2, "200", "warning", "", updateFailed, ""},
		{"api-v3-list-traces-response.json", 2, 1472148708232, 0, x, "200", "warning", "", updateFailed, ""},
		{"hwc-2018-functiongraph-cts-trigger-event.json", 1, clock(2018, 6, 26, 8, 54, 7), clock(2018, 6, 26, 8, 54, 7), graph, "204", "normal", "{}", "{}", ""},
		{"hwc-2024-ecs-createServer.json", 1, 1718777931170, 1718777931170, admin, "", "normal", `{"server":{"adminPass":"********",`, `{"job_id":"ff8080828fe9028a01902f2542df1b10",`, ""},
		{"otc-2022-evs-deleteVolume-double-comma.repaired.json", 1, clock(2016, 12, 1, 11, 24, 4), 1660223647458, aaa, "", "normal", `{"volumes":[{"id":"49b52508-`, `{"job_id":"ff808082814cc2ee01828d0a608067c7",`, ""},
		{"otc-2024-ecs-createSingleServer-object-request.json", 1, clock(2016, 12, 8, 11, 7, 28), clock(2016, 12, 8, 11, 7, 28), agency, "", "normal", `{"server":{"name":"as-config-15f1_XWO68TFC","imageRef":"b2b2c7dc-`, `{"status":"SUCCESS","entities":{"server_id":"42d39b4a-`, ""},
		{"otc-2024-evs-deleteVolume-empty-request.json", 1, clock(2016, 12, 8, 11, 24, 4), clock(2016, 12, 8, 11, 24, 4), aaa, "", "normal", "", "", ""},
		{"otc-functiongraph-cts-trigger-event-epoch.json", 1, 1529996047000, 1529996047000, graph, "204", "normal", "{}", "{}", ""},
		{"otc-smn-createTopic.json", 1, clock(2017, 2, 15, 14, 21, 50), clock(2017, 2, 15, 14, 21, 50), cts.User{Name: "xxx"}, "200", "normal", "xxx", "xxx", ""},
		{"otc-smn-deleteTopic.json", 1, clock(2017, 2, 15, 14, 12, 15), clock(2017, 2, 15, 14, 12, 15), cts.User{Name: "xxx"}, "200", "normal", "", "xxx", ""},
		{"sdk-huawei-openstack-v1-vpc-deleteEip.json", 1, 1472148708232, 1481066128032, cts.User{Unknown: `"raw":"{\"name\":\"xxx\",\"domain\":{\"name\":\"xxx.................}"`}, "200", "warning", "", updateFailed, ""},
		{"sdk-otcextensions-v1-iam-login.json", 1, 1534748957969, 1534748957990, cts.User{Unknown: `"raw":"{some crazy used struct}"`}, "302", "normal", "", "", ""},
	}
}

func TestDecodeSamples(t *testing.T) {
	known := map[string]bool{}
	for _, want := range sampleWants() {
		known[want.file] = true
		t.Run(want.file, func(t *testing.T) {
			traces := mustDecode(t, strings.NewReader(sampleFile(t, "management/"+want.file)))
			if len(traces) != want.traces {
				t.Fatalf("%d traces, want %d", len(traces), want.traces)
			}
			tr := traces[0]
			if want.recordTime == 0 {
				want.recordTime = tr.RecordTime
			}
			if tr.Time != want.time || tr.RecordTime != want.recordTime {
				t.Errorf("times %d and %d, want %d and %d", tr.Time, tr.RecordTime, want.time, want.recordTime)
			}
			if diff := cmp.Diff(want.user, tr.User); diff != "" {
				t.Errorf("user (-want +got):\n%s", diff)
			}
			if tr.Code != want.code || tr.Rating != want.rating || tr.Unknown != want.unknown {
				t.Errorf("code %q, rating %q, unknown %s", tr.Code, tr.Rating, tr.Unknown)
			}
			if !strings.HasPrefix(tr.Request, want.request) || (want.request == "") != (tr.Request == "") {
				t.Errorf("request %s", tr.Request)
			}
			if !strings.HasPrefix(tr.Response, want.response) || (want.response == "") != (tr.Response == "") {
				t.Errorf("response %s", tr.Response)
			}
			for _, tr := range traces {
				checkFixpoint(t, tr)
			}
		})
	}
	files, err := os.ReadDir(filepath.Join(samples, "management"))
	if err != nil {
		t.Skipf("the samples of CTS are not here: %v", err)
	}
	for _, f := range files {
		if !known[f.Name()] {
			t.Errorf("%s is not in the table", f.Name())
		}
	}
}

func checkFixpoint(t *testing.T, tr *cts.Trace) {
	t.Helper()
	text := tr.AppendJSON(nil)
	back, err := cts.ParseTrace(text)
	if err != nil {
		t.Fatalf("%v\n%q", err, text)
	}
	if again := back.AppendJSON(nil); !bytes.Equal(again, text) {
		t.Fatalf("not a fixpoint:\n%q\n%q", text, again)
	}
}

func TestDecodeMalformedSamples(t *testing.T) {
	for _, c := range []struct {
		file  string
		place string // the text in front of which the error is
		line  int
		found string
	}{
		{"api-v1-list-traces-2022-missing-commas.txt", `"request_id" :`, 17, `found '"'`},
		{"api-v2-list-traces-2022-missing-commas.txt", `"request_id" :`, 17, `found '"'`},
		{"hwc-2016-evs-deleteVolume-stray-quote.txt", "12/01/2016 11:24:04 GMT+08:00\",\n    \"trace_id\"", 22, `found '1'`},
		{"otc-2022-evs-deleteVolume-double-comma.txt", ",\n    \"response\"", 11, `found ','`},
	} {
		t.Run(c.file, func(t *testing.T) {
			text := sampleFile(t, "malformed/"+c.file)
			offset := strings.Index(text, c.place)
			column := offset - strings.LastIndexByte(text[:offset], '\n')
			for name, r := range map[string]io.Reader{
				"whole": strings.NewReader(text), "one byte": iotest.OneByteReader(strings.NewReader(text)),
			} {
				traces, errs := decodeAll(r, nil)
				var pe *cts.ParseError
				if len(traces) != 0 || len(errs) != 1 || !errors.As(errs[0], &pe) || !errors.Is(errs[0], cts.ErrInvalidTrace) {
					t.Fatalf("%s: %d traces, errors %v; want one *ParseError", name, len(traces), errs)
				}
				if pe.Offset != int64(offset) || pe.Line != c.line || pe.Column != column || !strings.Contains(pe.Reason, c.found) {
					t.Errorf("%s: %v; want line %d, column %d (offset %d): %s", name, pe, c.line, column, offset, c.found)
				}
			}
		})
	}
}

// All samples in one stream, however they are put together and however it is read.
func TestDecodeSamplesTogether(t *testing.T) {
	var texts, lines []string
	var want []*cts.Trace
	for _, s := range sampleWants() {
		text := sampleFile(t, "management/"+s.file)
		texts = append(texts, text)
		line, err := cts.NewRawJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(line))
		want = append(want, mustDecode(t, strings.NewReader(text))...)
	}
	for name, text := range map[string]string{
		"one after another":  strings.Join(texts, ""),
		"lines":              strings.Join(lines, "\n") + "\n",
		"lines of Windows":   strings.Join(lines, "\r\n"),
		"no space":           strings.Join(lines, ""),
		"array":              "[" + strings.Join(texts, ",") + "]",
		"array of lines":     "[" + strings.Join(lines, "\n,\n") + "]\n",
		"arrays in an array": "[[" + strings.Join(texts, "],[") + "]]",
		"envelope":           `{"traces":[` + strings.Join(texts, ",") + `]}`,
		"envelope, metadata": `{"meta_data":{"count":13},"traces":[` + strings.Join(lines, ",") + `],"x":[{}]}`,
		"two lists":          `{"traces":[` + strings.Join(lines[:5], ",") + `],"traces":[` + strings.Join(lines[5:], ",") + `]}`,
		"byte order mark":    "\ufeff" + strings.Join(texts, "\n"),
		"with empty lists":   "[] [[]] {\"traces\":[]}" + strings.Join(texts, " [] ") + "[]",
	} {
		for how, r := range map[string]io.Reader{
			"whole": strings.NewReader(text), "one byte": iotest.OneByteReader(strings.NewReader(text)),
			"halves": iotest.HalfReader(strings.NewReader(text)), "data with error": iotest.DataErrReader(strings.NewReader(text)),
		} {
			t.Run(fmt.Sprint(name, "/", how), func(t *testing.T) {
				if diff := cmp.Diff(want, mustDecode(t, r)); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		}
	}
}
