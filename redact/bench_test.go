package redact_test

import (
	"fmt"
	"strings"
	"testing"
)

// smallBody is a request of about 600 bytes, without a secret.
const smallBody = `{"server":{"name":"ecs-prod-web-01","imageRef":"67f433d8-ed0e-4321-a8a2-a71838539e09","flavorRef":"s3.large.2",` +
	`"vpcid":"0dae26c9-9a70-4392-93f3-87d53115d171","count":1,"isAutoRename":false,"key_name":"ops-2024","user_data":null,` +
	`"nics":[{"subnet_id":"157ee789-03ea-45b1-a698-76c92660dd83","ip_address":"10.0.1.25"}],` +
	`"root_volume":{"volumetype":"SSD","size":40},"data_volumes":[{"volumetype":"SATA","size":100}],` +
	`"security_groups":[{"id":"507ca48f-814c-4293-8706-300564d54620"}],"availability_zone":"eu-de-01",` +
	`"created":"2024-05-11T08:12:45.123Z","extendparam":{"chargingMode":"postPaid"}}}`

// largeBody is a JSON body of about 64 KiB, without a secret.
func largeBody() string {
	var b strings.Builder
	b.WriteString(`{"items":[`)
	for i := 0; b.Len() < 64<<10; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"%08x-1b2c-4d3e-8f90-%012d","name":"object number %d of the list","size":%d,`+
			`"etag":"d41d8cd98f00b204e9800998ecf8427e","modified":"2024-05-11T08:12:45Z","public":false,"tags":["blue","green"]}`, i, i, i, i*977)
	}
	b.WriteString(`]}`)
	return b.String()
}

const plainText = `Volume vol-0a1b2c3d was detached from instance i-0123456789abcdef0 by user alice (10.0.1.25) at 2024-05-11T08:12:45Z, ` +
	`because the instance was stopped; see https://console.example.com/volumes?id=vol-0a1b2c3d&region=eu-de for details of the request.`

const plainQuery = `marker=157ee789-03ea-45b1-a698-76c92660dd83&limit=100&name=web-01&status=ACTIVE&from=2024-05-11T08%3A12%3A45Z&service_type=ECS`

func BenchmarkNothingFound(b *testing.B) {
	r := newRedactor(b, nil)
	nested := `{"request":"` + strings.ReplaceAll(smallBody, `"`, `\"`) + `"}`
	for _, bench := range []struct {
		name string
		do   scan
		in   string
	}{
		{"JSON600B", scan{"JSON", r.JSON}, smallBody},
		{"JSON64KiB", scan{"JSON", r.JSON}, largeBody()},
		{"JSONInString", scan{"JSON", r.JSON}, nested},
		{"Text", scan{"Text", r.Text}, plainText},
		{"Query", scan{"Query", r.Query}, plainQuery},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(bench.in)))
			b.ReportAllocs()
			for b.Loop() {
				if _, found := bench.do.do(bench.in); found != nil {
					b.Fatalf("found %+v", found)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(bench.in)), "ns/B")
		})
	}
}

func BenchmarkFound(b *testing.B) {
	r := newRedactor(b, nil)
	in := strings.Replace(smallBody, `"user_data":null`, `"adminPass":"hunter2"`, 1)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, found := r.JSON(in); len(found) != 1 {
			b.Fatalf("found %+v", found)
		}
	}
}
