// Package cts is the audit trail that a Go service carries with it. It records who
// did what, when, from where, on which resource and with what result; keeps the
// records so that no acknowledged one is lost; answers questions over them; and
// delivers them as compressed trace files to an object bucket. It does for your own
// service what Cloud Trace Service (CTS) does for a public cloud, with the same
// words, record schema and file layout. Nothing has to run beside it.
//
// # A trace from handler to bucket
//
// A [Trace] is the record of one operation. It moves in one direction:
//
//	capture  →  Tracker  →  Store  →  Dumper  →  bucket
//
// Capture makes traces: the HTTP middleware in capture/ctshttp, the reader of AWS
// CloudTrail in capture/cloudtrail, or your own call of [Tracker.Record]. The
// [Tracker] takes each trace through policy, redaction, limits and stamp, in this
// order, and delivers it to a [Store]. The [Dumper] follows the store and carries
// its traces into a bucket, an obs.Client. The [Query] asks a store questions.
//
// # Recording
//
// Open a store and a tracker on it, and record:
//
//	store, err := filestore.Open("/var/lib/shop/audit", nil)
//	…
//	tracker, err := cts.Open(ctx, store, &cts.TrackerOptions{ServiceType: "SHOP"})
//	…
//	receipt, err := tracker.Record(ctx, &cts.Trace{
//		Name:         "deleteOrder",
//		ResourceType: "order",
//		ResourceID:   order.ID,
//		User:         cts.User{Name: "alice"},
//		SourceIP:     "192.0.2.7",
//		Code:         "200",
//	})
//
// When Record returns without an error, the trace is on disk: that is [Durable]
// delivery, the default. With [Queued] delivery Record returns as soon as the trace
// is in a bounded queue in memory; what a kill may take of it is found and declared
// at the next start. The actor and origin of a request travel in the context, see
// [WithActor] and [WithOrigin].
//
// # Before and after
//
// Whoever must not act unrecorded uses two traces. [Tracker.Begin] records the
// attempt, durably, before the operation; [Attempt.End] records its outcome. An
// attempt whose process dies in between is given the outcome unknown by the next
// [Open]. Queries pass over attempts unless asked; [OpenAttempts] lists those
// without an outcome.
//
// # What is lost is declared
//
// Traces that are offered and can't be stored (a full queue, a full disk) are
// counted, and a gap trace says how many were lost, when and why: it is named
// tracesLost and comes before the next ordinary trace. While nothing is under way,
// offered = stored + lost, see [Status].
//
// # Secrets
//
// Every trace goes through package redact before anything else is done with it:
// passwords, tokens, keys and card numbers in requests, responses, messages and
// labels are masked, by the names they stand under and by their form, and each is
// listed in [Ext.Redacted] with its place and length. Redaction is on unless
// switched off.
//
// # Asking
//
// A [Query] is a plain value:
//
//	q := cts.Query{}.
//		Where(cts.Eq(cts.FieldResourceID, id), cts.Eq(cts.FieldTraceName, "deleteServer")).
//		Between(yesterday, time.Time{})
//	for e, err := range store.Query(ctx, q) {
//		…
//		fmt.Println(e.Trace.User.Name, e.Trace.SourceIP)
//	}
//
// [ReadPage] returns pages; a page's cursor resumes exactly behind it, whatever was
// appended since.
//
// # Counting
//
// [Aggregate] counts what a query accepts: all together, in groups by one or two
// fields, the largest first, and over time. Each group says when its first and last
// trace was:
//
//	busiest, err := cts.Aggregate(ctx, store, q, cts.Aggregation{By: []cts.Field{cts.FieldUser}, Top: 10})
//	hourly, err := cts.Aggregate(ctx, store, q, cts.Aggregation{By: []cts.Field{cts.FieldOutcome}, Every: time.Hour})
//	n, err := cts.Count(ctx, store, q)
//
// The number of groups is the number of different values. A store that has a shorter
// way than reading is asked to take it.
//
// # Following and forgetting
//
// [Follow] yields the log and waits for more. [Tracker.Retain] drops the oldest
// traces by age and size, as far as registered consumers have passed them; the
// [Dumper] is one. What is dropped by force is declared in a gap trace, and whoever
// reads on meets a [PositionGoneError] that says where the log begins now.
//
// # Dumping
//
// A [Dumper] puts trace files into a bucket, in the layout of CTS, each trace once:
//
//	bucket, err := dirobs.Open("/srv/bucket", nil)
//	dumper, err := cts.NewDumper(store, bucket, &cts.DumperOptions{Region: "eu-1"})
//	go dumper.Run(ctx)
//
// The bucket is a folder (obs/dirobs) or speaks S3 (obs/s3obs). While it is out of reach
// the store is the queue; [Dumper.Status] says what waits, since when and why. [Shutdown]
// ends everything in order and counts what is left.
//
// # Sealing and proving
//
// With validation on, the Dumper seals what it has delivered with signed digest files:
//
//	dumper, err := cts.NewDumper(store, bucket, &cts.DumperOptions{
//		Region:     "eu-1",
//		Validation: &cts.ValidationOptions{Signer: signer},
//	})
//
// digest.Verify, and the command cts verify, find everything that was changed, removed or
// added since, with the public key alone; digest.Prove proves one trace without showing
// the others. [ReadDump] reads the traces of a bucket again, those that CTS itself wrote
// too.
//
// # Reading what CTS wrote
//
// A [Decoder] reads traces from everything that CTS itself writes or wrote: trace
// files, replies of its API in three versions, function events.
//
// # Errors
//
// Errors are few, are told apart with errors.Is, and say what to do: see
// [ErrStoreFull] and its neighbours. Work in the background reports through structs
// of callbacks, and Status keeps the last of each. The package logs nothing, exits
// nowhere and has no global state.
package cts
