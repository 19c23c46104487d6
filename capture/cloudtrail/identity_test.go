package cloudtrail_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
)

func TestMapUser(t *testing.T) {
	type result struct {
		User cts.User
		Role string
	}
	account := func(u cts.User) cts.User {
		u.AccountID, u.Domain.ID = "123456789012", "123456789012"
		return u
	}
	tests := []struct {
		name, identity string
		want           result
	}{
		{"none", `null`, result{}},
		{"not an object", `"-"`, result{}},
		{
			"Root", `{"type":"Root","principalId":"123456789012","arn":"arn:aws:iam::123456789012:root","accountId":"123456789012"}`,
			result{User: account(cts.User{
				ID: "123456789012", PrincipalID: "123456789012", Name: "root", Type: "Root", PrincipalIsRootUser: "true",
				PrincipalURN: "arn:aws:iam::123456789012:root",
			})},
		},
		{
			"AssumedRole", `{"type":"AssumedRole","principalId":"AROA1:sess","arn":"arn:aws:sts::123456789012:assumed-role/Admin/sess",
			"accountId":"123456789012","accessKeyId":"ASIA1","sessionContext":{"sourceIdentity":"alice","sessionIssuer":{"type":"Role",
			"principalId":"AROA1","arn":"arn:aws:iam::123456789012:role/Admin","accountId":"123456789012","userName":"Admin"},
			"attributes":{"creationDate":"20131102T010628Z","mfaAuthenticated":"false"}}}`,
			result{User: account(cts.User{
				ID: "AROA1:sess", PrincipalID: "AROA1:sess", Name: "Admin/sess", Type: "AssumedRole", PrincipalIsRootUser: "false",
				PrincipalURN: "arn:aws:sts::123456789012:assumed-role/Admin/sess", AccessKeyID: "ASIA1", OriginUser: "alice",
				SessionContext: cts.SessionContext{Attributes: cts.SessionAttributes{CreatedAt: "1383354388000", MFAAuthenticated: "false"}},
			}), Role: "Admin"},
		},
		{
			"AssumedRole without a userName", `{"type":"AssumedRole","sessionContext":{"sessionIssuer":{"type":"Role",
			"arn":"arn:aws:iam::123456789012:role/Admin"},"attributes":{"creationDate":"once"}}}`,
			result{User: cts.User{Type: "AssumedRole", PrincipalIsRootUser: "false"}, Role: "Admin"},
		},
		{
			"Role", `{"type":"Role","principalId":"AROA1","arn":"arn:aws:iam::123456789012:role/Admin","accountId":"123456789012"}`,
			result{User: account(cts.User{
				ID: "AROA1", PrincipalID: "AROA1", Name: "Admin", Type: "Role", PrincipalIsRootUser: "false",
				PrincipalURN: "arn:aws:iam::123456789012:role/Admin",
			}), Role: "Admin"},
		},
		{
			"FederatedUser", `{"type":"FederatedUser","principalId":"123456789012:bob","arn":"arn:aws:sts::123456789012:federated-user/bob",
			"accountId":"123456789012","sessionContext":{"sessionIssuer":{"type":"IAMUser","userName":"alice"}}}`,
			result{User: account(cts.User{
				ID: "123456789012:bob", PrincipalID: "123456789012:bob", Name: "bob", Type: "FederatedUser",
				PrincipalIsRootUser: "false", PrincipalURN: "arn:aws:sts::123456789012:federated-user/bob", OriginUser: "alice",
			})},
		},
		{
			"AWSAccount", `{"type":"AWSAccount","principalId":"AIDA1","accountId":"123456789012"}`,
			result{User: account(cts.User{ID: "AIDA1", PrincipalID: "AIDA1", Type: "AWSAccount", PrincipalIsRootUser: "false"})},
		},
		{
			"AWSService", `{"type":"AWSService","invokedBy":"ec2.amazonaws.com"}`,
			result{User: cts.User{
				Name: "ec2.amazonaws.com", Type: "AWSService", PrincipalIsRootUser: "false", InvokedBy: []string{"ec2.amazonaws.com"},
			}},
		},
		{
			"service without a type", `{"accountId":"123456789012","invokedBy":"rds.amazonaws.com"}`,
			result{User: account(cts.User{Name: "rds.amazonaws.com", InvokedBy: []string{"rds.amazonaws.com"}})},
		},
		{
			"SAMLUser", `{"type":"SAMLUser","principalId":"idp:alice","userName":"alice","identityProvider":"idp"}`,
			result{User: cts.User{
				ID: "idp:alice", PrincipalID: "idp:alice", Name: "alice", UserName: "alice", Type: "SAMLUser", PrincipalIsRootUser: "false",
			}},
		},
		{
			"WebIdentityUser", `{"type":"WebIdentityUser","principalId":"accounts.google.com:app:1","userName":"1"}`,
			result{User: cts.User{
				ID: "accounts.google.com:app:1", PrincipalID: "accounts.google.com:app:1", Name: "1", UserName: "1",
				Type: "WebIdentityUser", PrincipalIsRootUser: "false",
			}},
		},
		{
			"IdentityCenterUser", `{"type":"IdentityCenterUser","accountId":"123456789012","onBehalfOf":{"userId":"u-1",
			"identityStoreArn":"arn:aws:identitystore::123456789012:identitystore/d-1"},"credentialId":"c"}`,
			result{User: account(cts.User{ID: "u-1", Type: "IdentityCenterUser", PrincipalIsRootUser: "false"})},
		},
		{
			"AssumedRole for a user", `{"type":"AssumedRole","principalId":"AROA1:sess","onBehalfOf":{"userId":"u-1"}}`,
			result{User: cts.User{
				ID: "AROA1:sess", PrincipalID: "AROA1:sess", Type: "AssumedRole", PrincipalIsRootUser: "false", OriginUser: "u-1",
			}},
		},
		{"Unknown", `{"type":"Unknown"}`, result{User: cts.User{Type: "Unknown", PrincipalIsRootUser: "false"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := mapped(t, event(`,"userIdentity":`+tt.identity))
			if diff := cmp.Diff(tt.want, result{tr.User, tr.Ext.Role}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
