package redact_test

import (
	"fmt"
	"net/http"

	"github.com/cloudtraceservice/cts/redact"
)

func ExampleRedactor_JSON() {
	r, err := redact.New(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	out, found := r.JSON(`{"credentials":{"accessKeyId":"AKIDEXAMPLE","sessionToken":"FwoGZXIvYXdz"}}`)
	fmt.Println(out)
	for _, f := range found {
		fmt.Println(f.Rule, f.Path, f.Length)
	}
	// Output:
	// {"credentials":{"accessKeyId":"AKIDEXAMPLE","sessionToken":"********"}}
	// key credentials.sessionToken 12
}

func ExampleRedactor_Text() {
	r, err := redact.New(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	out, _ := r.Text("paid with 4111 1111 1111 1111, see https://bob:s3cret@example.com/?sig=2f9a; bearer token expired")
	fmt.Println(out)
	// Output:
	// paid with **** **** **** 1111, see https://bob:********@example.com/?sig=********; bearer token expired
}

func ExampleRedactor_Query() {
	r, err := redact.New(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	out, _ := r.Query("user[name]=bob&user[password]=hunter2&nextToken=42")
	fmt.Println(out)
	// Output:
	// user[name]=bob&user[password]=********&nextToken=42
}

func ExampleRedactor_Headers() {
	r, err := redact.New(&redact.Options{Headers: []string{"X-Tenant"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := http.Header{}
	h.Set("Authorization", "Bearer abcdef12")
	h.Set("User-Agent", "curl/8.5")
	h.Set("X-Tenant", "blue")
	out, found := r.Headers(h)
	fmt.Println(out)
	fmt.Println(found[0].Rule, found[0].Path)
	// Output:
	// map[User-Agent:[curl/8.5] X-Tenant:[blue]]
	// header Authorization
}

// With a key, an investigator who knows a secret can find where it was used.
func ExampleRedactor_Hash() {
	r, err := redact.New(&redact.Options{HashKey: []byte("kept in the key management service")})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, found := r.JSON(`{"password":"hunter2"}`)
	fmt.Println(found[0].Hash == r.Hash("hunter2"))
	// Output:
	// true
}
