// S3dump is localdump with a bucket in an object store: Huawei OBS, AWS S3, MinIO, Ceph
// or whatever else speaks S3. It makes a small service's audit trail, dumps it into the
// bucket, seals it, and checks that the bucket holds exactly what was recorded.
//
//	AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… \
//	go run ./examples/s3dump -endpoint http://127.0.0.1:9000 -path-style -bucket audit
//
// The credentials are those that all tools for S3 take: the environment, a profile, or
// the machine's role. The bucket must be there; what is dumped lies below
// CloudTraces/REGION in it and stays. Each folder -dir has a region of its own.
//
// The last line says how it went; the exit code is 0 only if everything agrees. The
// bucket can be checked again, now or later:
//
//	go run ./cmd/cts verify --key DIR/public.pem --region REGION --endpoint … s3://BUCKET
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/cloudtraceservice/cts/examples/internal/demo"
	"github.com/cloudtraceservice/cts/obs/s3obs"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// settings are what the command line says.
type settings struct {
	dir, bucket, region string
	requests            int
	s3                  s3obs.Options
}

// run is the program, less the process: it returns the exit code.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	var s settings
	flags := flag.NewFlagSet("s3dump", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.StringVar(&s.dir, "dir", "", "folder for the store and the keys; a temporary one if empty")
	flags.StringVar(&s.bucket, "bucket", os.Getenv("S3_BUCKET"), "bucket to dump into (S3_BUCKET)")
	flags.StringVar(&s.region, "region", "", "folder below CloudTraces; one that the folder -dir has for itself if empty")
	flags.StringVar(&s.s3.Endpoint, "endpoint", "", "URL of the object store (AWS_ENDPOINT_URL; AWS if empty)")
	flags.StringVar(&s.s3.Region, "s3-region", "", "region that requests are signed for (AWS_REGION)")
	flags.BoolVar(&s.s3.PathStyle, "path-style", false, "the bucket's name goes into the path, not into the host name (MinIO, Ceph)")
	flags.IntVar(&s.requests, "requests", 2000, "requests to make")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if s.requests < 1 || s.bucket == "" || flags.NArg() > 0 {
		fmt.Fprintln(errs, "s3dump: -bucket is needed, -requests is at least 1, and there are no arguments")
		return 2
	}
	if err := dump(ctx, out, s); err != nil {
		fmt.Fprintln(errs, "s3dump:", err)
		return 1
	}
	return 0
}

// dump runs the demonstration into the bucket.
func dump(ctx context.Context, out io.Writer, s settings) error {
	if s.dir == "" {
		made, err := os.MkdirTemp("", "s3dump-")
		if err != nil {
			return err
		}
		s.dir = made
	}
	bucket, err := s3obs.New(ctx, s.bucket, &s.s3)
	if err != nil {
		return err
	}
	report, err := bucket.CheckBucket(ctx, nil)
	if err != nil {
		return err
	}
	fmt.Fprint(out, report)
	fmt.Fprintf(out, "The store is in %s, the bucket is s3://%s.\n", demo.StoreDir(s.dir), s.bucket)
	return demo.Run(ctx, out, demo.Options{Dir: s.dir, Bucket: bucket, BucketName: s.bucket, Region: s.region, Requests: s.requests})
}
