package redact_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts/redact"
)

func TestJSON(t *testing.T) {
	check(t, newRedactor(t, nil).JSON, []want{
		kept(``), kept(`{}`), kept(`[]`), kept(`null`), kept(`"x"`), kept(`12`), kept(" \n"),
		{`{"password":"hunter2"}`, `{"password":"********"}`, []string{"key password"}},
		{"{ \"a\" : {\n \"Admin-Pass\" : \"x\" , \"b\" : 1 } }", "{ \"a\" : {\n \"Admin-Pass\" : \"********\" , \"b\" : 1 } }", []string{"key a.Admin-Pass"}},
		{`{"items":[{"a":1},{"b":2},{"c":3},{"token":"x"}]}`, `{"items":[{"a":1},{"b":2},{"c":3},{"token":"********"}]}`, []string{"key items[3].token"}},
		{`[[1,2],[{"pwd":"x"}]]`, `[[1,2],[{"pwd":"********"}]]`, []string{"key [1][0].pwd"}},
		{`{"p\u0061ssword":"x","\u0074oken":"y"}`, `{"p\u0061ssword":"********","\u0074oken":"********"}`, []string{"key password", "key token"}},
		{`{"passwor\u0064":"x"}`, `{"passwor\u0064":"********"}`, []string{"key password"}},
		{`{"pwd":"a\"b\\"}`, `{"pwd":"********"}`, []string{"key pwd"}},
		{`{"a.b":{"c[0]":{"pwd":"x"}}}`, `{"a.b":{"c[0]":{"pwd":"********"}}}`, []string{`key ["a.b"]["c[0]"].pwd`}},
	})
}

func TestJSONShape(t *testing.T) {
	check(t, newRedactor(t, nil).JSON, []want{
		{
			`{"credentials":{"accessKeyId":"A","sessionToken":"S"},"id":"x"}`,
			`{"credentials":{"accessKeyId":"A","sessionToken":"********"},"id":"x"}`,
			[]string{"key credentials.sessionToken"},
		},
		{
			`{"token":["a",["b",2],{"id":"c","pwd":"d"},null,true,""],"x":"y"}`,
			`{"token":["********",["********","********"],{"id":"c","pwd":"********"},null,true,""],"x":"y"}`,
			[]string{"key token[0]", "key token[1][0]", "key token[1][1]", "key token[2].pwd"},
		},
		{`{"pin":1234,"cvv":-1.5e3,"x":1234}`, `{"pin":"********","cvv":"********","x":1234}`, []string{"key pin", "key cvv"}},
		kept(`{"password":null,"token":true,"secret":false,"pwd":"","cookie":[],"pin":{}}`),
		kept(`{"password":"***","a":{"pwd":"********"},"token":"REDACTED","secret":"[redacted]","pin":"HIDDEN_DUE_TO_SECURITY_REASONS"}`),
		kept(`{"token":"***hidden***","secret":"(sensitive value)","cookie":"<masked>","cardNumber":"************1111"}`),
		{`{"password":"**","token":"hidden"}`, `{"password":"********","token":"********"}`, []string{"key password", "key token"}},
		{`{"secret":"x"} {"a":1}` + "\n" + `{"b":{"secret":"y"}}`, `{"secret":"********"} {"a":1}` + "\n" + `{"b":{"secret":"********"}}`, []string{"key secret", "key b.secret"}},
	})
}

// TestEvidenceStays names what only resembles a secret.
func TestEvidenceStays(t *testing.T) {
	r := newRedactor(t, nil)
	for _, name := range []string{
		"nextToken", "clientToken", "clientRequestToken", "continuationToken", "httpTokens", "tokenType", "tokenExpiresAt", "token_id", "maxTokens",
		"secretId", "secretName", "SecretARN", "SecretVersionId", "secretRef", "keyId", "key_name", "keyPair", "accessKeyId", "accessKey", "access_key", "kmsKeyId",
		"publicKey", "fingerprint", "AuthenticationMethod", "authorizationStatus", "roleSessionName", "sessionId", "X-Amz-Credential", "passwordPolicy",
		"passwordResetRequired", "passwordLastUsed", "credentialId", "cookieCount", "pinned", "spin", "signature", "userName", "passthrough", "ssoUrl", "",
	} {
		in := fmt.Sprintf(`{%q:"value","x":{%q:7}}`, name, name)
		if out, found := r.JSON(in); out != in || found != nil {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

func TestSecretsGo(t *testing.T) {
	r := newRedactor(t, nil)
	for _, name := range []string{
		"password", "PASSWORD", "pass_word", "adminPass", "masterUserPassword", "old.password", "passwd", "passphrase", "secret", "client_secret",
		"SecretAccessKey", "aws_secret_access_key", "SecretString", "access_token", "refreshToken", "id-token", "sessionToken", "X-Amz-Security-Token",
		"X-Auth-Token", "x-api-key", "apiKey", "Authorization", "Proxy-Authorization", "cookie", "Set-Cookie", "privateKey", "sshPrivateKey", "keyMaterial",
		"connectionString", "cvv", "pin", "otp", "tokenCode", "mfa_code", "totp_secret", "recovery_codes", "kubeconfig", "sharedAccessKey", "credential", "psk", "_token_",
	} {
		in := fmt.Sprintf(`{"a":{%q:"value"}}`, name)
		if out, found := r.JSON(in); out != fmt.Sprintf(`{"a":{%q:"********"}}`, name) || len(found) != 1 || found[0].Rule != redact.RuleKey || found[0].Length != 5 {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

func TestJSONInStrings(t *testing.T) {
	check(t, newRedactor(t, nil).JSON, []want{
		{`{"request":"{\"server\":{\"adminPass\":\"x\"}}"}`, `{"request":"{\"server\":{\"adminPass\":\"********\"}}"}`, []string{"key request.server.adminPass"}},
		{`{"a":"[{\"pin\":12}]"}`, `{"a":"[{\"pin\":\"********\"}]"}`, []string{"key a[0].pin"}},
		{`{"a":"{\"b\":\"{\\\"pin\\\":12}\"}"}`, `{"a":"{\"b\":\"{\\\"pin\\\":\\\"********\\\"}\"}"}`, []string{"key a.b.pin"}},
		{`{"a":"[4111111111111111]"}`, `{"a":"[\"************1111\"]"}`, []string{"card a[0]"}},
		{`"{\"pwd\":\"x\"}"`, `"{\"pwd\":\"********\"}"`, []string{"key pwd"}},
		{`{"a":"got {\"pwd\":\"x\"} from \u00e9 {\"b\":1}"}`, `{"a":"got {\"pwd\":\"********\"} from \u00e9 {\"b\":1}"}`, []string{"key a.pwd"}},
		{`{"a":"x=%7B%22pwd%22%3A1%7D&pwd=y z"}`, `{"a":"x=%7B%22pwd%22%3A1%7D&pwd=******** z"}`, []string{"key a.pwd"}},
		kept(`{"request":"{\"server\":{\"name\":\"x\\ny\"}}","b":"\u00e9\ud83d\ude00\/"}`),
	})
}

func TestJSONForms(t *testing.T) {
	check(t, newRedactor(t, nil).JSON, []want{
		{`{"h":"Bearer abc\/def+12=="}`, `{"h":"Bearer ********"}`, []string{"bearer h"}},
		{`["basic dXNlcjpw\u0061c3N3b3Jk"]`, `["basic ********"]`, []string{"basic [0]"}},
		{`{"card":4111111111111111,"n":-4111111111111111,"f":4111111111111111.5}`, `{"card":"************1111","n":-4111111111111111,"f":4111111111111111.5}`, []string{"card card"}},
		{`{"note":"paid with\n4111 1111 1111 1111\tok"}`, `{"note":"paid with\n**** **** **** 1111\tok"}`, []string{"card note"}},
		{`{"Bearer abcdef12":{"pwd":"x"}}`, `{"Bearer ********":{"pwd":"********"}}`, []string{"bearer", "key ********.pwd"}},
		{`{"a":{"4111111111111111":1}}`, `{"a":{"************1111":1}}`, []string{"card a"}},
		{`{"u":"https://bob:s3cret@db.example/x?token=abc&b=c"}`, `{"u":"https://bob:********@db.example/x?token=********&b=c"}`, []string{"userinfo u", "key u.token"}},
	})
}

func TestBrokenJSON(t *testing.T) {
	check(t, newRedactor(t, nil).JSON, []want{
		{`{"password":"hunt`, `{"password":"********`, []string{"key password"}},
		{`{"password":"hunt\`, `{"password":"********`, []string{"key password"}},
		{`{"password":hunter2}`, `{"password":********}`, []string{"key password"}},
		{`{"password": correct horse }`, `{"password": ******** }`, []string{"key password"}},
		{`{'password': 'hunter2', 'a': "it's"}`, `{'password': '********', 'a': "it's"}`, []string{"key password"}},
		{`{password: "hunter2", pin: 12}`, `{password: "********", pin: "********"}`, []string{"key password", "key pin"}},
		{`{"a":"{\"password\":\"hun`, `{"a":"{\"password\":\"********`, []string{"key a.password"}},
		{`"x","password":"y"},{"token":"z"}]`, `"x","password":"********"},{"token":"********"}]`, []string{"key password", "key token"}},
		{`{"a":1,,,"pwd":"x"}}}}]{"pwd":"y"}`, `{"a":1,,,"pwd":"********"}}}}]{"pwd":"********"}`, []string{"key pwd", "key pwd"}},
		{`{"a": 4111 1111 1111 1111}`, `{"a": **** **** **** 1111}`, []string{"card a"}},
		{`{"a": Bearer abcdef12, "b":1}`, `{"a": Bearer ********, "b":1}`, []string{"bearer a"}},
		{`curl -H "X-Auth-Token: abcdef12"`, `curl -H "X-Auth-Token: ********"`, []string{"key X-Auth-Token"}},
		kept(`{"a":tru`), kept(`{"a":nul,"b":http://example.com/x}`), kept(`{"password":`), kept(`{"password":}`), kept(`{"password"`), kept(`[1 2 3`), kept(`{"a":0x12}`),
	})
}

func TestSecretArrayTooDeep(t *testing.T) {
	r := newRedactor(t, nil)
	deep := strings.Repeat("[", 200)
	in := `{"a":` + deep + `{"id":"x","token":["s",["s"],{"id":"over"}],"k":"y","pin":3},"z"` + strings.Repeat("]", 200) + `,"b":"c"}`
	out, found := r.JSON(in)
	want := strings.NewReplacer(`"s"`, `"********"`, `"over"`, `"********"`, `3`, `"********"`).Replace(in)
	if out != want || len(found) != 4 {
		t.Errorf("got %d findings in\n%s", len(found), strings.ReplaceAll(out, deep, "…"))
	}
}

func TestPaths(t *testing.T) {
	r := newRedactor(t, nil)
	long := strings.Repeat("é", 100)
	_, found := r.JSON(`{"` + long + `":{"pwd":"x","":{"pwd":"x"},"tab\t\u0001":{"pwd":"x"},"\ud800":{"pwd":"x"}}}`)
	head := strings.Repeat("é", 32) + "…"
	want := []string{head + ".pwd", head + `[""].pwd`, head + `["tab\t\x01"].pwd`, head + ".\uFFFD.pwd"}
	for i, f := range found {
		if f.Path != want[i] {
			t.Errorf("path %s, want %s", f.Path, want[i])
		}
	}
	if len(found) != len(want) {
		t.Errorf("%d findings, want %d", len(found), len(want))
	}
	_, found = r.JSON(strings.Repeat(`{"levél":`, 60) + `{"pwd":"x"}`)
	if p := found[0].Path; len(p) > 256 || len(p) < 240 || !strings.HasPrefix(p, "…") || !strings.HasSuffix(p, ".levél.pwd") {
		t.Errorf("path of %d bytes: %s", len(p), p)
	}
}
