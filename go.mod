module github.com/cloudtraceservice/cts

go 1.26.0

require (
	github.com/felixge/httpsnoop v1.1.0
	github.com/google/go-cmp v0.7.0
	github.com/google/uuid v1.6.0
	github.com/klauspost/compress v1.20.3
	golang.org/x/sys v0.49.0
)

require golang.org/x/sync v0.24.0
