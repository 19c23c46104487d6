// Package obs is the object store to which trace files and digests go: an
// interface of six methods, [Client], and the words and rules that every
// implementation of it shares.
//
// The implementations are
//
//   - obs/dirobs: a folder of plain files, the embedded default;
//   - obs/memobs: memory, for tests;
//   - obs/s3obs: the S3 API, as Huawei OBS, AWS S3, MinIO and Ceph speak it.
//
// Whoever writes another one runs obs/obstest on it: that suite is the contract
// in executable form.
//
// The package knows objects and bytes. It knows nothing of what is in them.
package obs
