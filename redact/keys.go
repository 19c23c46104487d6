package redact

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// secretNames are the names whose values are secrets, in the form in which they
// are compared.
//
// They are compared whole: the many names that merely contain the words (nextToken,
// clientRequestToken, httpTokens, secretId, SecretARN, keyId, passwordPolicy) are
// evidence, and an audit trail without evidence is worth nothing. What names a
// credential without being one stays: access keys, key ids, fingerprints, session
// ids, X-Amz-Credential, user names.
var secretNames = strings.Fields(`
	password passwords passwd passwort pwd passphrase passcode
	adminpass adminpassword adminpwd rootpass rootpassword rootpwd
	userpass userpassword userpwd masterpassword masteruserpassword
	newpassword newpasswd newpwd oldpassword oldpasswd oldpwd currentpassword
	originalpassword originalpwd confirmpassword passwordconfirm passwordconfirmation
	password1 password2 repeatpassword verifypassword initialpassword
	defaultpassword temporarypassword temppassword loginpassword plaintextpassword
	passwordhash hashedpassword encryptedpassword passwordencrypted
	dbpass dbpassword dbpwd dbuserpassword databasepassword mysqlpassword mysqlpwd mysqlrootpassword
	pgpassword postgrespassword redispassword mongopassword smtppassword mailpassword emailpassword
	ldappassword bindpassword ldapbindpassword bindcredential proxypassword sshpassword sshpass
	authpassword privpassword keypassword keypass keystorepassword truststorepassword
	certpassword certificatepassword pfxpassword registrypassword dockerpassword wifipassword
	windowspassword vncpassword consolepassword accountpassword servicepassword

	secret secretkey secretaccesskey awssecretaccesskey awssecretkey accesskeysecret accesssecret
	aksk securekey secretstring secretbinary secretvalue secretdata
	clientsecret appsecret applicationsecret apisecret consumersecret oauthsecret oauthtokensecret
	sharedsecret webhooksecret signingsecret signingkey hmacsecret hmackey jwtsecret
	sessionsecret cookiesecret tokensecret usersecret totpsecret otpsecret mfasecret
	otpauthurl seed2fa base32stringseed base32secret secretbase32
	presharedkey psk ikepsk authkey authsecret authkeysecret
	storageaccountkey accountkey sharedaccesskey sharedaccesssignature saskey sastoken sasuri sasurl
	connectionstring primaryconnectionstring secondaryconnectionstring
	storageconnectionstring dsn
	kubeconfig dockerconfigjson dockercfg

	token accesstoken refreshtoken idtoken sessiontoken securitytoken awssessiontoken
	awssecuritytoken authtoken authenticationtoken authorizationtoken bearertoken bearer jwt jwttoken
	usertoken logintoken servicetoken subjecttoken oauthtoken oauth2token oauthaccesstoken
	personalaccesstoken privatetoken deploytoken jobtoken cijobtoken runnertoken registrationtoken
	jointoken bootstraptoken githubtoken gitlabtoken slacktoken vaulttoken apitoken
	actiontoken resettoken passwordresettoken invitetoken
	verificationtoken csrftoken csrfmiddlewaretoken xsrftoken authenticitytoken requestverificationtoken
	xaccesstoken xauthtoken xauthkey xsubjecttoken xsecuritytoken xsessiontoken xservicetoken
	xstoragetoken xamzsecuritytoken xobssecuritytoken xgoogsecuritytoken xvaulttoken xgitlabtoken
	xcsrftoken xxsrftoken xidtoken xrefreshtoken
	apikey apikeys xapikey xapitoken xgoogapikey subscriptionkey ocpapimsubscriptionkey licensekey
	authorization xauthorization proxyauthorization cookie cookies setcookie
	jsessionid phpsessid aspnetsessionid connectsid
	credential credentials gcpcredentials serviceaccountkey
	samlresponse samlassertion assertion clientassertion codeverifier authorizationcode

	privatekey privatekeys privatekeypem privatekeydata privatekeypassphrase privkey sshprivatekey
	rsaprivatekey ecprivatekey serverprivatekey clientprivatekey certificateprivatekey hostkeyprivate
	clientkeydata keymaterial importedkeymaterial plaintext plaintextkey plaintextdatakey
	privatekeyplaintext datakeyplaintext

	pin newpin oldpin pinblock cvv cvv2 cvc cvc2 cid2 cardcvv cardcvc cvvcode cvccode
	cardsecuritycode securitycode cardnumber ccnumber creditcardnumber debitcardnumber
	primaryaccountnumber track1 track2 track1data track2data trackdata magstripe
	otp otpcode otptoken totp totpcode onetimepassword onetimecode
	mfacode mfatoken tokencode smscode twofactorcode verificationcode recoverycode recoverycodes
	backupcode backupcodes scratchcodes securityanswer secretanswer`)

// signatureNames are secrets as query keys and in k=v pairs only, where they make
// a signed URL or request that anyone can use; in JSON they are evidence.
var signatureNames = strings.Fields(`sig signature xamzsignature xgoogsignature xobssignature`)

const (
	maxKeyName = 64  // bytes of a normalised name
	maxKeyRaw  = 256 // bytes of a name as it stands, escapes included
)

// keySet is a set of normalised names. The table answers no for nearly all names
// that are not in it: names with a first and a last letter are in the set only if
// the entry of these has the bit of their length.
type keySet struct {
	names    map[string]struct{}
	lengths  [32][32]uint64 // lengths[first&31][last&31] has bit len-1
	nonASCII bool
}

func newKeySet(lists ...[]string) *keySet {
	k := &keySet{names: make(map[string]struct{})}
	for _, names := range lists {
		for _, name := range names {
			k.names[name] = struct{}{}
			first, last := name[0], name[len(name)-1]
			k.lengths[first&31][last&31] |= 1 << (len(name) - 1)
			for i := range len(name) {
				k.nonASCII = k.nonASCII || name[i] >= utf8.RuneSelf
			}
		}
	}
	return k
}

// has reports whether the name, with escapes resolved, is in the set.
func (k *keySet) has(name string) bool {
	for len(name) > 0 && isSeparator[name[len(name)-1]] {
		name = name[:len(name)-1]
	}
	for len(name) > 0 && isSeparator[name[0]] {
		name = name[1:]
	}
	if len(name) < 2 || len(name) > maxKeyRaw {
		return false
	}
	first, last := name[0], name[len(name)-1]
	lengths := k.lengths[first&31][last&31]
	if len(name) < maxKeyName {
		lengths &= 1<<len(name) - 1 // a name gets no longer
	}
	if lengths == 0 && (first|last < utf8.RuneSelf || !k.nonASCII) {
		return false
	}
	return k.hasNormal(name, lengths)
}

func (k *keySet) hasNormal(name string, lengths uint64) bool {
	var buf [maxKeyName]byte
	n := 0
	for i := range len(name) {
		c := name[i]
		if c >= utf8.RuneSelf {
			return k.nonASCII && k.hasUnicode(name)
		}
		if isSeparator[c] {
			continue
		}
		if n == len(buf) {
			return false
		}
		buf[n] = lowerASCII(c)
		n++
	}
	if n == 0 || lengths>>(n-1)&1 == 0 {
		return false
	}
	_, ok := k.names[string(buf[:n])]
	return ok
}

func (k *keySet) hasUnicode(name string) bool {
	normal := normalise(name)
	_, ok := k.names[normal]
	return ok
}

// normalise brings a name into the form in which names are compared.
func normalise(name string) string {
	var b strings.Builder
	for _, c := range name {
		if c < utf8.RuneSelf && isSeparator[byte(c)] {
			continue
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

var isSeparator = [256]bool{'-': true, '_': true, '.': true, ':': true, ' ': true}

func lowerASCII(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c |= 0x20
	}
	return c
}

// keyNames joins the default names with those of the options.
func keyNames(add, keep []string, fault func(string, ...any)) []string {
	kept := make(map[string]bool, len(keep))
	for _, name := range keep {
		if normalise(name) == "" {
			fault("KeepKeys has an empty name")
		}
		kept[normalise(name)] = true
	}
	var names []string
	for _, name := range secretNames {
		if !kept[name] {
			names = append(names, name)
		}
	}
	for _, name := range add {
		normal := normalise(name)
		switch {
		case len(normal) < 2 || len(normal) > maxKeyName:
			fault("Keys: %q has %d bytes when normalised, give 2 to %d", name, len(normal), maxKeyName)
		case kept[normal]:
			fault("%q is in Keys and in KeepKeys, take it out of one", name)
		default:
			names = append(names, normal)
		}
	}
	return names
}

func queryNames(keep []string) []string {
	kept := make(map[string]bool, len(keep))
	for _, name := range keep {
		kept[normalise(name)] = true
	}
	var names []string
	for _, name := range signatureNames {
		if !kept[name] {
			names = append(names, name)
		}
	}
	return names
}

// isMasked reports whether a value was masked before, here or by another service,
// so that there is nothing left to take out.
func isMasked(v string) bool {
	if v == "REDACTED" || v == "HIDDEN_DUE_TO_SECURITY_REASONS" {
		return true
	}
	stars := 0
	for stars < len(v) && v[stars] == '*' {
		stars++
	}
	if stars >= 3 && stars == len(v) {
		return true
	}
	if rest := v[stars:]; stars >= 8 && len(rest) == 4 && allDigits(rest) {
		return true // a card number
	}
	word := strings.Trim(v, "*[](){}<>")
	if len(v)-len(word) < 2 || len(word) > 32 {
		return false
	}
	switch strings.ToLower(word) {
	case "redacted", "masked", "hidden", "filtered", "removed", "sensitive", "sensitive value", "secret":
		return true
	}
	return false
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
