package redact_test

import "testing"

func TestQuery(t *testing.T) {
	check(t, newRedactor(t, nil).Query, []want{
		kept(""), kept("&"), kept("="), kept("a"), kept("a=b&c=d"), kept("a=%zz&b=%4&c=+"), kept("password"), kept("password="), kept("=x"),
		{"a=b&password=x&c=d", "a=b&password=********&c=d", []string{"key password"}},
		{"pass%77ord=x&Session+Token=y", "pass%77ord=********&Session+Token=********", []string{"key password", `key Session Token`}},
		{"user[password]=x&db.pwd=y&tokens[]=z&token[]=w", "user[password]=********&db.pwd=********&tokens[]=z&token[]=********", []string{`key ["user[password]"]`, `key ["db.pwd"]`, `key ["token[]"]`}},
		{"password=a=b%26c+d&x", "password=********&x", []string{"key password"}},
		{"card=4111+1111+1111+1111&n=4111%201111%201111%201111", "card=****+****+****+1111&n=****+****+****+1111", []string{"card card", "card n"}},
		{"h=Bearer%20abcdef12&x", "h=Bearer%20********&x", []string{"bearer h"}},
		{"next=https%3A%2F%2Fa%3Ab%40c%2F%3Ftoken%3Dd%26e%3Df", "next=https%3A%2F%2Fa%3A********%40c%2F%3Ftoken%3D********%26e%3Df", []string{"userinfo next", "key next.token"}},
		{"body=%7B%22pin%22%3A12%7D", "body=%7B%22pin%22%3A%22********%22%7D", []string{"key body.pin"}},
		{"body={%22pin%22:12}", "body={%22pin%22:%22********%22}", []string{"key body.pin"}},
		{"4111111111111111=x&Bearer+abcdef12", "************1111=x&Bearer+********", []string{"card", "bearer"}},
		{"a=1;password=x", "a=1;password=********", []string{"key a.password"}},
		kept("password=***&token=null&secret=%2A%2A%2A"), kept("nextToken=abc&limit=10"), kept("X-Amz-Credential=AKIA%2F20240511&X-Amz-Algorithm=AWS4"),
		{"X-Amz-Credential=AKIA&X-Amz-Signature=ab&X-Amz-Security-Token=cd", "X-Amz-Credential=AKIA&X-Amz-Signature=********&X-Amz-Security-Token=********", []string{"key X-Amz-Signature", "key X-Amz-Security-Token"}},
	})
}

func TestURL(t *testing.T) {
	check(t, newRedactor(t, nil).URL, []want{
		kept(""), kept("/"), kept("/a/b?c=d#e"), kept("https://example.com"), kept("?"), kept("#"), kept("#?"), kept("%%%"),
		{"/x?token=a,b&c=d", "/x?token=********&c=d", []string{"key token"}},
		{"https://bob:pw@h/x?pass%77ord=y#access_token=z&t=1", "https://bob:********@h/x?pass%77ord=********#access_token=********&t=1", []string{"userinfo", "key password", "key access_token"}},
		{"/reset/" + jwt, "/reset/********", []string{"jwt"}},
		{"/x;jsessionid=AB12?y=z", "/x;jsessionid=********?y=z", []string{"key jsessionid"}},
		{"/x#a?token=y", "/x#a?token=********", []string{`key a?token`}},
	})
}
