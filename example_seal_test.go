package cts_test

import (
	"context"
	"fmt"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs/memobs"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// A Dumper with validation seals what it delivers, and whoever has the public key can
// check the bucket.
func ExampleDumper_Seal() {
	ctx := context.Background()
	signer, err := digest.GenerateKey(digest.Ed25519, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	store, bucket := memstore.New(nil), memobs.New(nil)
	var head digest.Head // to be kept outside the bucket
	dumper, err := cts.NewDumper(store, bucket, &cts.DumperOptions{
		Validation: &cts.ValidationOptions{Signer: signer, Sealed: func(h digest.Head) { head = h }},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	tr := &cts.Trace{ID: "0192f3c1", Time: 1_700_000_000_000, RecordTime: 1_700_000_000_000, Name: "deleteOrder", ServiceType: "SHOP"}
	if _, err := store.Append(ctx, []cts.Entry{{Trace: tr}}); err != nil {
		fmt.Println(err)
		return
	}
	if err := dumper.Seal(ctx); err != nil {
		fmt.Println(err)
		return
	}
	report, err := digest.Verify(ctx, bucket, &digest.VerifyOptions{
		Keys: []*digest.PublicKey{signer.Public()}, Heads: []digest.Head{head},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("digest", head.Seq, "traces", head.Count, "clean", report.OK())
	// Output: digest 1 traces 1 clean true
}
