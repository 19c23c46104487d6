package cts_test

import "github.com/cloudtraceservice/cts"

type plainTrace cts.Trace
type versionExt struct {
	V int `json:"v"`
	*cts.Ext
}
