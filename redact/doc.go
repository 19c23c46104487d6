// Package redact takes secrets out of headers, JSON, forms, URLs and free text
// before anything of it is stored, hashed or cut.
//
// It is made for audit trails, where both mistakes cost: a secret that stays makes
// the trail a loot, and evidence that goes makes it worthless. So a value is a
// secret for one of three reasons only.
//
// # By its name
//
// The value of a JSON key, a query key, a k=v pair or an XML element is masked if
// its name is on a list. Names are compared whole, after lower-casing and taking out
// "-", "_", ".", ":" and space: session_token and Session-Token are sessiontoken,
// clientRequestToken is not, neither are nextToken, httpTokens, secretId, keyId,
// SecretARN or accessKeyId, which tell who and what without opening anything.
// One-time codes (otp, tokenCode, mfaCode), card security codes and PINs are on the
// list though they are short-lived or numbers. [Redactor.Keys] lists all.
//
// In JSON only strings and numbers are masked. An array under a secret name has its
// strings and numbers masked; an object under one is looked into as everywhere, so
// that of {"credentials":{"accessKeyId":"A","sessionToken":"S"}} only S goes. null,
// true, false and the empty string stay: that no password was given is evidence.
// A value that another service masked already stays and is no finding.
//
// Signatures (sig, Signature, X-Amz-Signature) are secrets in queries and k=v pairs,
// where they make a signed URL, and evidence in JSON. In prose, "name: value" counts
// only if the name can't be a word of the sentence and the value looks like a token:
// "session_token: k3JsA9x2" does, "token: expired" does not.
//
// # By its form
//
// Bearer and Basic credentials, JSON Web Tokens, PEM private keys, passwords in URLs
// and payment card numbers are found everywhere in text, in JSON strings and keys, in
// queries. Tokens behind Bearer have at least 8 bytes and a digit, mixed case or
// padding, so that "bearer token expired" stays; those behind Basic are base64 with a
// colon inside. A card number has the prefix and a length of Visa, Mastercard,
// American Express, Diners Club, JCB, Discover, UnionPay, Mir or Maestro, a right
// check digit, the groups in which cards are printed, and nothing around it that
// makes it part of a longer number, word, UUID or telephone number. Its last four
// digits stay.
//
// # By its place
//
// Headers are kept by a list of those allowed, see [Redactor.Headers].
//
// # What it promises
//
// Bytes that are no part of a secret are never changed. Valid JSON stays valid JSON.
// A second pass finds nothing. No input makes it panic, and it takes time linear in
// the length of the input. Where nothing is found nothing is allocated.
//
// # What it does not find
//
// Secrets under a name that is not listed and without a form of their own, such as
// the data of a Kubernetes Secret; names and values in multipart bodies; anything
// compressed, encrypted or base64-encoded as a whole; JSON in strings deeper than
// [Options.MaxDepth].
package redact
