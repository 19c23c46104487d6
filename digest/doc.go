// Package digest seals the trace files of a bucket, and proves later that they are as
// they were: signed digest files, in the form of CTS, that say which trace files there
// are, what is in them, and which digest came before.
//
// It knows objects and bytes, and nothing of traces, so that an auditor's tool needs
// nothing else of this project.
//
// # Writing
//
// The Dumper of package cts writes digests when it is told a [Signer]:
//
//	signer, err := digest.GenerateKey(digest.Ed25519, 0)
//	…
//	dumper, err := cts.NewDumper(store, bucket, &cts.DumperOptions{
//		Validation: &cts.ValidationOptions{Signer: signer},
//	})
//
// Whoever writes digests without it keeps a [Chain] beside its own checkpoint: Add for
// each file that is verified in the bucket, and [Chain.DueEnd], [Chain.Cut] and
// [Chain.Advance] for each digest, the [Sealed] of which is saved with the chain before
// it is put.
//
// # What a chain is
//
// A writer is one store that is dumped. It has a chain for each tracker, or each tracker
// and service. A chain has a digest for every hour from its beginning on, also for hours
// in which no file was delivered, and short ones where somebody asked to have sealed
// what there is. Each says when it begins, which is when its predecessor ended; names
// the predecessor, its hash and its signature; and counts the traces of the chain
// through, so that nothing can be taken out of the middle, put in, or changed.
//
// What is cut off the end is found by those who know a newer [Head] of the chain: each
// digest mentions the newest heads of the other chains that its writer saw in the
// bucket, and each head is handed to the application, to be kept elsewhere.
//
// # Keys
//
// Signatures are RSASSA-PKCS1-v1_5 with SHA-256, as those of CTS, or Ed25519. Public keys
// are given to the one who verifies, or the fingerprint of a root key, which signs a
// [KeyHistory] that [PublishKeyHistory] puts into the bucket.
//
// FORMAT.md describes every byte.
package digest
