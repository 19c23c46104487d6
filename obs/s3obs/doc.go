// Package s3obs is an [obs.Client] over the S3 API: Huawei OBS through its S3
// interface, AWS S3, MinIO, Ceph and whatever else speaks it.
//
//	bucket, err := s3obs.New(ctx, "audit-trail", &s3obs.Options{
//		Endpoint: "https://obs.eu-de.otc.t-systems.com",
//		Region:   "eu-de",
//	})
//
// [Client.CheckBucket] says, before the first trace, whether the bucket is what
// the trail needs; [Policy] prints the rights that a writer, a sealer and a reader
// need, and no more.
//
// # What is sent with every object
//
// Every content is hashed before it is sent, and goes with its SHA-256 in
// x-amz-checksum-sha256, its MD5 in Content-MD5 and its SHA-256 in the signature
// of the request, also over HTTPS. At least one of the three is checked by every
// store below, so that what was damaged on the way is refused; and buckets with
// object lock demand one. A body is read twice, from its position at the call,
// and never held in memory. Objects above Options.PartSize go in parts, one
// after the other, each with hashes of its own.
//
// The SHA256 of an Object is the store's: the one that it answers with. For an
// object that went in parts, Put checks the store's hash of all the parts' hashes
// against those that were sent, and reports the SHA-256 of the whole then. Head
// and Get ask the store for the hash it keeps, and Get compares it with what is
// read: other content ends in [obs.ErrChecksum] instead of [io.EOF].
//
// # Put if absent
//
// `If-None-Match: *` makes the store refuse to replace an object, in one step.
// Where a store ignores it or does not know it, only looking before and after the
// put is left; see [Conditional] for what each choice promises. A put whose answer
// was lost on the way finds, when it is repeated, the object that it made itself:
// Put says [obs.ErrExists] then, and the object's hash tells that it is the same.
//
// # The servers and their traps
//
//	server             put if absent         checksum in answers  object lock  SSE-KMS
//	AWS S3             yes                   yes                  yes          yes
//	MinIO              yes                   yes                  yes          yes
//	versitygw 1.8      yes                   yes                  yes          ignored
//	Ceph radosgw 16    puts, not multipart   no                   refused      refused
//	Huawei OBS         not documented        not documented       not tried    documented
//	rclone serve s3    yes                   yes                  refused      refused
//	gofakes3           not tried             not verified         ignored      ignored
//
// The tests of this package run against MinIO and versitygw. AWS S3 and Huawei OBS
// are shown as they are documented, the others as they answered when they were
// tried. CheckBucket finds out what holds for yours.
//
//   - Trailing checksums (aws-chunked), the default of newer SDKs, are rejected by
//     Ceph, stored as part of the object by gofakes3, and leave "aws-chunked" as the
//     Content-Encoding in versitygw. They are not sent unless
//     Options.Checksums asks for them.
//   - Where a store ignores encryption, Put fails with [ErrUnprotected]; where it
//     ignores object lock, CheckBucket tells.
//   - MinIO counts "x-amz-meta-" with each key of metadata: 2 KiB are that much less
//     there, and what is more is [obs.ErrInvalid].
//   - versitygw keeps objects as files: it can't hold both "a" and "a/b"
//     ([obs.ErrInvalidKey]), and now and then says so of a put while a delete beside
//     it empties the folder.
//   - Without the right to list, AWS answers 403 for an absent object: Head and Get
//     say [obs.ErrDenied] then. Put with IfAbsent does not need it.
//   - Reading the hash of an SSE-KMS object needs the right to decrypt.
//   - ETag is the MD5 of the content on many stores, so that objects of the same
//     content and other metadata have the same one.
//   - Times have whole seconds, as HTTP headers do.
//   - A bucket with versioning keeps what is replaced and deleted, as versions that
//     this package does not show.
//   - Parts of an upload that was killed stay, and cost, until they are removed: give
//     the bucket a lifecycle rule AbortIncompleteMultipartUpload. A failed Put
//     removes its parts itself.
//   - Proxies such as nginx drop headers with an underscore: avoid it in metadata
//     keys if there is one on the way.
//   - An endpoint with http:// sends objects in the clear.
package s3obs
