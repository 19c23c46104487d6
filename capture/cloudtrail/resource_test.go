package cloudtrail_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
)

func TestMapResource(t *testing.T) {
	one := func(kind, id, name string) []cts.Resource { return []cts.Resource{{Type: kind, ID: id, Name: name}} }
	tests := []struct {
		source, members string
		want            []cts.Resource
	}{
		{"sts", `"resources":[{"ARN":"arn:aws:iam::1:role/path/Admin","accountId":"1","type":"AWS::IAM::Role"}]`, one("AWS::IAM::Role", "arn:aws:iam::1:role/path/Admin", "Admin")},
		{"kms", `"resources":[{"ARN":"arn:aws:kms:r:1:key/k-1"}]`, one("", "arn:aws:kms:r:1:key/k-1", "k-1")},
		{"lambda", `"resources":[{"ARN":"arn:aws:lambda:r:1:function:f"}]`, one("", "arn:aws:lambda:r:1:function:f", "f")},
		{"sns", `"resources":[{"ARN":"arn:aws:sns:r:1:topic"}]`, one("", "arn:aws:sns:r:1:topic", "topic")},
		{"s3", `"resources":[{"type":"AWS::S3::Object","ARNPrefix":"arn:aws:s3:::b/"}]`, one("AWS::S3::Object", "arn:aws:s3:::b/", "b/")},
		{"x", `"resources":[1,null,[],{},{"type":"T"}]`, one("T", "", "")},
		{"x", `"resources":[{"ARN":"not an arn"}]`, one("", "not an arn", "")},

		{"s3", `"requestParameters":{"bucketName":"b","Host":"h"}`, one("AWS::S3::Bucket", "", "b")},
		{"s3", `"resources":[],"requestParameters":{"bucketName":"b"}`, one("AWS::S3::Bucket", "", "b")},
		{"s3", `"resources":null,"requestParameters":{"bucketName":"b"}`, one("AWS::S3::Bucket", "", "b")},
		{"iam", `"requestParameters":{"userName":"u","groupName":"g"}`, one("AWS::IAM::User", "", "u")},
		{"iam", `"requestParameters":{"roleName":"r","policyArn":"arn:aws:iam::aws:policy/P"}`, one("AWS::IAM::Role", "", "r")},
		{"iam", `"requestParameters":{"policyArn":"arn:aws:iam::aws:policy/P"}`, one("AWS::IAM::ManagedPolicy", "arn:aws:iam::aws:policy/P", "P")},
		{"ec2", `"requestParameters":{"instanceId":"i-1","volumeId":"vol-1"}`, one("AWS::EC2::Volume", "vol-1", "")},
		{"ssm", `"requestParameters":{"instanceId":"i-1"}`, one("AWS::EC2::Instance", "i-1", "")},
		{"ssm", `"requestParameters":{"name":"/a/b"}`, one("AWS::SSM::Parameter", "", "/a/b")},
		{"secretsmanager", `"requestParameters":{"secretId":"arn:aws:secretsmanager:r:1:secret:s-1"}`, one("AWS::SecretsManager::Secret", "arn:aws:secretsmanager:r:1:secret:s-1", "s-1")},
		{"kms", `"requestParameters":{"keyId":"alias/x"}`, one("AWS::KMS::Key", "alias/x", "")},
		{"cloudtrail", `"requestParameters":{"name":"t"}`, one("AWS::CloudTrail::Trail", "", "t")},
		{
			"ec2", `"requestParameters":{"instancesSet":{"items":[{"instanceId":"i-1"},{"x":1},{"instanceId":"i-2"}]}}`,
			[]cts.Resource{{Type: "AWS::EC2::Instance", ID: "i-1"}, {Type: "AWS::EC2::Instance", ID: "i-2"}},
		},
		{"ec2", `"requestParameters":{"userName":"u"}`, nil},
		{"iam", `"requestParameters":{"userName":7}`, nil},
		{"iam", `"requestParameters":{"userName":""}`, nil},
		{"iam", `"requestParameters":[{"userName":"u"}]`, nil},
		{"iam", `"requestParameters":null`, nil},
	}
	for _, tt := range tests {
		tr := mapped(t, event(`,"eventSource":"`+tt.source+`.amazonaws.com",`+tt.members))
		var got []cts.Resource
		if r := (cts.Resource{Type: tr.ResourceType, ID: tr.ResourceID, Name: tr.ResourceName}); r != (cts.Resource{}) {
			got = append([]cts.Resource{r}, tr.Ext.Resources...)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s (-want +got):\n%s", tt.source, tt.members, diff)
		}
	}
}

func TestMapResourceAccount(t *testing.T) {
	tests := []struct{ user, owner, want string }{
		{"1", "2", "2"},
		{"1", "1", ""},
		{"", "2", "2"},
		{"1", "", ""},
	}
	for _, tt := range tests {
		tr := mapped(t, event(`,"userIdentity":{"accountId":"`+tt.user+`"},"resources":[{"type":"T","accountId":"`+tt.owner+`"}]`))
		if tr.ResourceAccountID != tt.want {
			t.Errorf("user of %q, resource of %q: resource account %q, want %q", tt.user, tt.owner, tr.ResourceAccountID, tt.want)
		}
	}
}
