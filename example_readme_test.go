package cts_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/capture/ctshttp"
	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs/dirobs"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// audited embeds the audit trail into a service. The README shows its body.
func audited(ctx context.Context, dir string, key []byte, mux *http.ServeMux, serve func(http.Handler) error) error {
	store, err := filestore.Open(filepath.Join(dir, "store"), nil) // one process writes; nothing else to run
	if err != nil {
		return err
	}
	defer store.Close()

	tracker, err := cts.Open(ctx, store, &cts.TrackerOptions{ServiceType: "SHOP"})
	if err != nil {
		return err
	}
	defer tracker.Close(context.WithoutCancel(ctx)) // stores what is under way

	bucket, err := dirobs.Open(filepath.Join(dir, "bucket"), nil) // trace files, in CTS's layout
	if err != nil {
		return err
	}
	signer, err := digest.ParsePrivateKeyPEM(key) // made with cts keygen; or digest.NewSigner of a KMS
	if err != nil {
		return err
	}
	dumper, err := cts.NewDumper(store, bucket, &cts.DumperOptions{
		Region:     "eu-1",
		Validation: &cts.ValidationOptions{Signer: signer}, // a signed digest every hour
	})
	if err != nil {
		return err
	}
	go func() { // a file per service every five minutes, 50,000 traces or 32 MiB
		if err := dumper.Run(ctx); err != nil {
			log.Print("the audit trail is no longer dumped: ", err)
		}
	}()

	audit, err := ctshttp.New(tracker, nil)
	if err != nil {
		return err
	}
	defer audit.Flush(context.WithoutCancel(ctx))
	return serve(audit.Outer(audit.Inner(mux))) // your authentication goes between the two
}

func Example() {
	dir, err := os.MkdirTemp("", "cts-example-")
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("DELETE /v1/orders/{order_id}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	signer, err := digest.GenerateKey(digest.Ed25519, 0)
	if err != nil {
		log.Fatal(err)
	}
	key, err := digest.MarshalPrivateKeyPEM(signer)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	running, stop := context.WithCancel(ctx)
	err = audited(running, dir, key, mux, func(h http.Handler) error {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodDelete, "/v1/orders/4711", http.NoBody))
		return nil
	})
	stop()
	if err != nil {
		log.Fatal(err)
	}

	reader, err := filestore.OpenReader(filepath.Join(dir, "store"), nil) // while the service runs, too
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()
	q := cts.Query{}.Where(cts.Eq(cts.FieldResourceID, "4711")).Limited(10)
	for e, err := range reader.Query(ctx, q) {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(e.Trace.Name, e.Trace.ResourceType, e.Trace.Code, e.Trace.Ext.Outcome)
	}
	groups, err := cts.Aggregate(ctx, reader,
		cts.Query{}.Between(time.Now().Add(-24*time.Hour), time.Time{}),
		cts.Aggregation{By: []cts.Field{cts.FieldServiceType, cts.FieldOutcome}, Top: 10})
	if err != nil {
		fmt.Println(err)
	}
	for _, g := range groups {
		fmt.Println(g.Values, g.Count) // and g.First, g.Last
	}
	if err := os.RemoveAll(dir); err != nil {
		fmt.Println(err)
	}
	// Output:
	// deleteOrder order 204 success
	// [CTS success] 2
	// [SHOP success] 1
}
