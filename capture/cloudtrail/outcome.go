package cloudtrail

import (
	"slices"
	"strings"

	"github.com/cloudtraceservice/cts"
)

// outcome maps how the operation ended.
func (m *mapper) outcome() error {
	e, t := m.event, m.t
	code := e.get("errorCode")
	t.Message = e.get("errorMessage")
	m.label(LabelErrorCode, code)
	if isNumber(code) {
		t.Code = code
	}
	refused := e.get("eventType") == "AwsConsoleSignIn" &&
		(m.below("responseElements", "ConsoleLogin") == "Failure" || m.below("responseElements", "SwitchRole") == "Failure")
	t.Rating, t.Ext.Outcome = cts.RatingWarning, cts.OutcomeFailure
	switch {
	case refused, denied(code):
		t.Ext.Outcome = cts.OutcomeDenied
	case code == "" && t.Message == "":
		t.Rating, t.Ext.Outcome = cts.RatingNormal, cts.OutcomeSuccess
	}
	return nil
}

func isNumber(code string) bool {
	return code != "" && strings.Trim(code, "0123456789") == ""
}

// badCredentials are the codes, common to all services or of one, that refuse a
// caller for its credentials.
var badCredentials = []string{
	"403", "AuthFailure", "AuthorizationError", "AuthorizationErrorException", "ExpiredToken", "ExpiredTokenException",
	"Forbidden", "ForbiddenException", "IncompleteSignature", "IncompleteSignatureException", "InvalidAccessKeyId",
	"InvalidClientTokenId", "InvalidSignatureException", "InvalidToken", "MissingAuthenticationToken",
	"MissingAuthenticationTokenException", "RequestExpired", "SignatureDoesNotMatch", "UnrecognizedClientException",
}

// denied reports whether the code of an error says that the caller was refused.
func denied(code string) bool {
	code = strings.TrimPrefix(strings.TrimPrefix(code, "Client."), "Server.")
	return strings.Contains(code, "AccessDenied") || strings.HasPrefix(code, "Unauthorized") ||
		strings.HasPrefix(code, "NotAuthorized") || slices.Contains(badCredentials, code)
}
