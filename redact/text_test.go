package redact_test

import (
	"strings"
	"testing"
)

const (
	jwtHeader  = "eyJhbGciOiJIUzI1NiJ9"
	jwtPayload = "eyJzdWIiOiJhbGljZSJ9"
	jwt        = jwtHeader + "." + jwtPayload + ".c2lnbmF0dXJl_-"
)

func TestBearerAndBasic(t *testing.T) {
	check(t, newRedactor(t, nil).Text, []want{
		{"Authorization: Bearer abcdef12", "Authorization: Bearer ********", []string{"bearer"}},
		{"bearer  AbCdEfGh, next", "bearer  ********, next", []string{"bearer"}},
		{"BEARER\tabc.def-ghi_jkl~mno+pqr/1==", "BEARER\t********", []string{"bearer"}},
		{"(Bearer 1|abcdefgh)", "(Bearer ********)", []string{"bearer"}},
		{"Bearer abcdefgh=", "Bearer ********", []string{"bearer"}},
		{"Bearer " + strings.Repeat("a", 32), "Bearer ********", []string{"bearer"}},
		{"used Bearer abcdef12.", "used Bearer ********.", []string{"bearer"}},
		{"a Bearer abcdef12 b Bearer ghijkl34", "a Bearer ******** b Bearer ********", []string{"bearer", "bearer"}},
		{"Basic dXNlcjpwYXNz", "Basic ********", []string{"basic"}},
		{"basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "basic ********", []string{"basic"}},
		kept("bearer token expired"), kept("Bearer Authentication failed"), kept("the bearer authentication-required error"),
		kept("Bearer abc123"), kept("Bearer"), kept("Bearer "), kept("forbearer abcdef12"), kept("Bearer ********"), kept("TOKEN BEARER EXPIRED"),
		kept(`WWW-Authenticate: Bearer realm="example", error="invalid_token1"`), kept("Bearer scope=read1234"), kept("Bearer error1234='x'"),
		kept("Basic t3.micro12 tier"), kept("Basic authentication"), kept("Basic Standard_D2s_v3"), kept("basic abc"), kept("Basic dXNlcg"), kept("Basic dX$lcjpwYXNz"),
	})
}

func TestJWT(t *testing.T) {
	jwe := "eyJhbGciOiJkaXIifQ.a2V5.aXY.dGV4dA.dGFn"
	check(t, newRedactor(t, nil).Text, []want{
		{jwt, "********", []string{"jwt"}},
		{"token " + jwt + ".", "token ********.", []string{"jwt"}},
		{"x=" + jwt + "&y", "x=********&y", []string{"jwt"}},
		{jwtHeader + "." + jwtPayload, "********", []string{"jwt"}},
		{jwtHeader + "." + jwtPayload + ".", "********", []string{"jwt"}},
		{jwe, "********", []string{"jwt"}},
		{"Bearer " + jwt, "Bearer ********", []string{"bearer"}},
		{jwt + " " + jwt, "******** ********", []string{"jwt", "jwt"}},
		kept(jwtHeader), kept(jwtHeader + ".abc"), kept(jwtHeader + "." + "abc.def.ghi"), kept("eyJ." + jwtPayload), kept("x" + jwtHeader + ".e30.c2ln"),
		kept("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MTIzfQ"), kept("J"), kept("eyJ"), kept("NEYJABC"),
	})
}

func TestPEM(t *testing.T) {
	const body = "MIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\nabc="
	begin, end := "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"
	check(t, newRedactor(t, nil).Text, []want{
		{"a\n" + begin + "\n" + body + "\n" + end + "\nb", "a\n" + begin + "\n********\n" + end + "\nb", []string{"pem"}},
		{begin + `\n` + strings.ReplaceAll(body, "\n", `\n`) + end, begin + `\n********` + end, []string{"pem"}},
		{begin + "\nProc-Type: 4,ENCRYPTED\n\n" + body + "\n" + end, begin + "\n********\n" + end, []string{"pem"}},
		{begin + "\n" + body, begin + "\n********", []string{"pem"}},
		{begin + "\n" + body[:45] + " and so on", begin + "\n******** and so on", []string{"pem"}},
		{"-----BEGIN PGP PRIVATE KEY BLOCK-----\nx\n-----END PGP PRIVATE KEY BLOCK-----", "-----BEGIN PGP PRIVATE KEY BLOCK-----\n********\n-----END PGP PRIVATE KEY BLOCK-----", []string{"pem"}},
		kept("-----BEGIN PUBLIC KEY-----\n" + body + "\n-----END PUBLIC KEY-----"),
		kept("-----BEGIN CERTIFICATE-----\n" + body + "\n-----END CERTIFICATE-----"),
		kept(begin + " expected"), kept(begin), kept(begin + "\n" + end), kept("-----BEGIN "), kept("-----BEGIN PRIVATE KEY"), kept("----------"),
	})
}

func TestUserinfo(t *testing.T) {
	check(t, newRedactor(t, nil).Text, []want{
		{"postgres://bob:s3cret@db:5432/x", "postgres://bob:********@db:5432/x", []string{"userinfo"}},
		{"dial redis://:s3cret@r, amqp://a:b@c", "dial redis://:********@r, amqp://a:********@c", []string{"userinfo", "userinfo"}},
		{"https://" + jwt + ":x-oauth@h", "https://********:********@h", []string{"jwt", "userinfo"}},
		{"mysql://u:p@ss:w@h", "mysql://u:********@h", []string{"userinfo"}},
		kept("https://bob@example.com/"), kept("https://example.com:8443/@x:y"), kept("https://u:@h"), kept("https://u:xxxxx@h"), kept("https://u:****@h"),
		kept("mailto:bob@example.com"), kept("arn:aws:iam::123837392027:user/benjamin"), kept("http://[::1]:80/a@b"), kept("://"),
	})
}

func TestPairs(t *testing.T) {
	check(t, newRedactor(t, nil).Text, []want{
		{"GET /x?access_token=abc&b=c HTTP/1.1", "GET /x?access_token=********&b=c HTTP/1.1", []string{"key access_token"}},
		{"Server=db;User Id=sa;Password=p,w;Encrypt=yes", "Server=db;User Id=sa;Password=********;Encrypt=yes", []string{"key Password"}},
		{`run --password=abc --token="a b" -x`, `run --password=******** --token="********" -x`, []string{"key --password", "key --token"}},
		{"password = hunter2 ok", "password = ******** ok", []string{"key password"}},
		{"pwd:=abc, token=def, x=1", "pwd:=********, token=********, x=1", []string{"key pwd", "key token"}},
		{"(token=abc).", "(token=********).", []string{"key token"}},
		{"authorization=Bearer abc&x", "authorization=Bearer ********&x", []string{"key authorization"}},
		{"spring.datasource.password=x user[pwd]=y a%5Fb.pass%77ord=z", "spring.datasource.password=******** user[pwd]=******** a%5Fb.pass%77ord=********", []string{"key password", "key pwd", "key pass%77ord"}},
		{"blob?sv=1&sig=ab%2Bc%3D&se=2", "blob?sv=1&sig=********&se=2", []string{"key sig"}},
		{`{"a" 'password': 'x', 'b': 1}`, `{"a" 'password': '********', 'b': 1}`, []string{"key password"}},
		{`req "{\"pwd\":\"x\"}" done`, `req "{\"pwd\":\"********\"}" done`, []string{"key pwd"}},
		{`\"pwd\":\"x\",\"a\":\"b\"`, `\"pwd\":\"********\",\"a\":\"b\"`, []string{"key pwd"}},
		{`"pwd":"a\"b" "c"`, `"pwd":"********" "c"`, []string{"key pwd"}},
		{"token='abc", "token='********", []string{"key token"}},
		{"session_token: abcd1234 and apiKey: AbCdEfGh", "session_token: ******** and apiKey: ********", []string{"key session_token", "key apiKey"}},
		{"Password: hunter22", "Password: ********", []string{"key Password"}},
		{"password: 'a b'\nuser: bob", "password: '********'\nuser: bob", []string{"key password"}},
		kept("password: ''"), kept("password: 'none'"), kept("password: Bearer abc"), kept("token: expired12"), kept("session_token: expired"), kept("password: must have 8 characters"), kept("Authorization: denied1234"), kept("TOKEN: abcdefg1"),
		kept("password="), kept("password= x"), kept("password=null"), kept("if token == other1"), kept("password != x"), kept("token=***"), kept("a=b"), kept("=x"),
		kept("nextToken=abc"), kept("mytoken=abc"), kept("a:password"), kept("password:"), kept(": x"), kept("pass word=x"), kept("password=''"),
	})
}

func TestXML(t *testing.T) {
	check(t, newRedactor(t, nil).Text, []want{
		{
			"<C><AccessKeyId>AK</AccessKeyId><SecretAccessKey>SK</SecretAccessKey></C>",
			"<C><AccessKeyId>AK</AccessKeyId><SecretAccessKey>********</SecretAccessKey></C>",
			[]string{"key SecretAccessKey"},
		},
		{"<wsse:Password> p w </wsse:Password>", "<wsse:Password> ******** </wsse:Password>", []string{"key Password"}},
		{"<token>abc", "<token>********", []string{"key token"}},
		kept("<Password></Password>"), kept("<Token><Id>x</Id></Token>"), kept("a -> b"), kept("token>x"), kept("<NextToken>x</NextToken>"), kept(">"), kept("<password>null<"),
	})
}

// TestTextInText goes through the seams: a secret next to, behind or inside another.
func TestTextInText(t *testing.T) {
	check(t, newRedactor(t, nil).Text, []want{
		{"Bearer abcdef12 4111111111111111 " + jwt, "Bearer ******** ************1111 ********", []string{"bearer", "card", "jwt"}},
		{"4111111111111111 {\"pin\":1} 4111111111111111", "************1111 {\"pin\":\"********\"} ************1111", []string{"card", "key pin", "card"}},
		{"password=4111111111111111", "password=********", []string{"key password"}},
		{"url https://a:b@c/?token=d#" + jwt, "url https://a:********@c/?token=********", []string{"userinfo", "key token"}},
		{"x [1] {y} {\"a\":\"Bearer abcdef12\"} z", "x [1] {y} {\"a\":\"Bearer ********\"} z", []string{"bearer a"}},
		kept("plain"), kept("{not json} [at all] {"), kept(plainText), kept("\xff\xfe Bearer \xff"),
	})
}
