package redact

import (
	"net/http"
	"net/textproto"
	"strings"
)

// allowedHeaders are the headers that are kept: those that tell who spoke to whom
// about what, none that proves it.
var allowedHeaders = [...]string{
	"Accept", "Accept-Encoding", "Accept-Language", "Accept-Ranges", "Age", "Allow",
	"B3", "Cache-Control", "Connection", "Content-Disposition", "Content-Encoding",
	"Content-Language", "Content-Length", "Content-Md5", "Content-Range", "Content-Type",
	"Date", "Deprecation", "Etag", "Expect", "Expires", "Forwarded", "Host",
	"Idempotency-Key", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range",
	"If-Unmodified-Since", "Last-Modified", "Location", "Origin", "Prefer", "Range",
	"Referer", "Retry-After", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site",
	"Sec-Fetch-User", "Server", "Sunset", "Te", "Traceparent", "Tracestate", "Trailer",
	"Transfer-Encoding", "Upgrade", "User-Agent", "Vary", "Via",
	"X-Amz-Content-Sha256", "X-Amz-Date", "X-Amz-Request-Id", "X-Amz-Target",
	"X-Amzn-Requestid", "X-Amzn-Trace-Id", "X-B3-Parentspanid", "X-B3-Sampled",
	"X-B3-Spanid", "X-B3-Traceid", "X-Client-Request-Id", "X-Cloud-Trace-Context",
	"X-Correlation-Id", "X-Domain-Id", "X-Forwarded-For", "X-Forwarded-Host",
	"X-Forwarded-Port", "X-Forwarded-Proto", "X-Http-Method-Override", "X-Language",
	"X-Obs-Date", "X-Obs-Request-Id", "X-Openstack-Request-Id", "X-Project-Id",
	"X-Real-Ip", "X-Request-Id", "X-Requested-With", "X-Sdk-Date",
}

// neverHeaders carry credentials. No option makes them stay.
var neverHeaders = [...]string{
	"Authentication-Info", "Authorization", "Cookie", "Cookie2", "Dpop", "Proxy-Authentication-Info",
	"Proxy-Authorization", "Set-Cookie", "Set-Cookie2",
	"X-Access-Token", "X-Amz-Security-Token", "X-Amzn-Oidc-Accesstoken", "X-Amzn-Oidc-Data",
	"X-Api-Key", "X-Api-Token", "X-Auth-Key", "X-Auth-Token", "X-Authorization",
	"X-Csrf-Token", "X-Csrftoken", "X-Forwarded-Access-Token", "X-Forwarded-Authorization",
	"X-Gitlab-Token", "X-Goog-Api-Key", "X-Goog-Iap-Jwt-Assertion", "X-Id-Token",
	"X-Obs-Security-Token", "X-Original-Authorization", "X-Refresh-Token", "X-Security-Token",
	"X-Service-Token", "X-Session-Token", "X-Storage-Token", "X-Subject-Token",
	"X-Vault-Token", "X-Xsrf-Token", "Api-Key", "Apikey",
}

func headerNames(extra []string, fault func(string, ...any)) map[string]bool {
	set := make(map[string]bool, len(allowedHeaders)+len(extra))
	for _, name := range allowedHeaders {
		set[name] = true
	}
	for _, name := range extra {
		canonical := textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
		switch {
		case canonical == "":
			fault("Headers has an empty name")
		case neverKept(canonical):
			fault("Headers: %s carries credentials and is never kept, take it out of the list", canonical)
		default:
			set[canonical] = true
		}
	}
	return set
}

// neverKept compares without case, for a name that was put into the map of a
// header by hand, or that is no valid name, is not in canonical form.
func neverKept(name string) bool {
	for _, never := range neverHeaders {
		if strings.EqualFold(never, name) {
			return true
		}
	}
	return false
}

// whole returns a finding for each value that is a secret from end to end.
func (r *Redactor) whole(values []string, name string, rule Rule) []Finding {
	var found []Finding
	for _, v := range values {
		if v != "" && !isMasked(v) {
			found = append(found, Finding{Path: http.CanonicalHeaderKey(name), Rule: rule, Length: len(v), Hash: r.Hash(v)})
		}
	}
	return found
}

func maskValue(v string) string {
	if v == "" || isMasked(v) {
		return v
	}
	return Mask
}

func joinHeader(name, path string) string {
	switch {
	case path == "":
		return name
	case path[0] == '[':
		return name + path
	}
	return name + "." + path
}
