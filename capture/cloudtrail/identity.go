package cloudtrail

import (
	"strconv"
	"strings"
	"time"

	"github.com/cloudtraceservice/cts"
)

// user maps userIdentity.
func (m *mapper) user() error {
	id, err := m.event.object("userIdentity")
	if err != nil {
		return err
	}
	behalf, err := id.object("onBehalfOf")
	if err != nil {
		return err
	}
	u := &m.t.User
	u.Type = id.get("type")
	u.PrincipalID = id.get("principalId")
	u.ID = first(u.PrincipalID, behalf.get("userId"))
	u.PrincipalURN = id.get("arn")
	u.UserName = id.get("userName")
	u.Name = first(u.UserName, principalName(u.PrincipalURN))
	u.AccountID = id.get("accountId")
	u.Domain.ID = u.AccountID
	u.AccessKeyID = id.get("accessKeyId")
	m.account = u.AccountID
	if by := id.get("invokedBy"); by != "" {
		u.InvokedBy = []string{by}
		if u.Type == "" || u.Type == "AWSService" {
			u.Name = first(u.Name, by)
		}
	}
	if u.Type != "" {
		u.PrincipalIsRootUser = strconv.FormatBool(u.Type == "Root")
	}
	if u.Type == "Role" {
		m.t.Ext.Role = u.Name
	}
	if err := m.session(id); err != nil {
		return err
	}
	if by := behalf.get("userId"); by != u.ID {
		u.OriginUser = first(u.OriginUser, by)
	}
	return nil
}

// session maps the sessionContext of a userIdentity.
func (m *mapper) session(id object) error {
	session, err := id.object("sessionContext")
	if err != nil {
		return err
	}
	attributes, err := session.object("attributes")
	if err != nil {
		return err
	}
	issuer, err := session.object("sessionIssuer")
	if err != nil {
		return err
	}
	u := &m.t.User
	u.SessionContext.Attributes = cts.SessionAttributes{
		CreatedAt:        millis(attributes.get("creationDate")),
		MFAAuthenticated: attributes.get("mfaAuthenticated"),
	}
	u.OriginUser = session.get("sourceIdentity")
	name := first(issuer.get("userName"), principalName(issuer.get("arn")))
	switch {
	case issuer.get("type") == "Role":
		m.t.Ext.Role = name
	case u.Type == "FederatedUser":
		u.OriginUser = first(u.OriginUser, name)
	}
	return nil
}

// millis brings a time into the form of CTS. What is not a time is left out; it
// stays in [Member].
func millis(text string) string {
	for _, layout := range []string{time.RFC3339, "20060102T150405Z"} {
		if at, err := time.Parse(layout, text); err == nil {
			return strconv.FormatInt(at.UnixMilli(), 10)
		}
	}
	return ""
}

// principalName returns the name at the end of the ARN of a principal: "Alice" of
// arn:aws:iam::123456789012:user/Alice.
func principalName(arn string) string {
	_, resource := splitARN(arn)
	if _, name, ok := strings.Cut(resource, "/"); ok {
		return name
	}
	return resource
}

// splitARN returns the service and the resource in an ARN, "" if it is none:
// arn:partition:service:region:account:resource.
func splitARN(arn string) (service, resource string) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" {
		return "", ""
	}
	return parts[2], parts[5]
}
