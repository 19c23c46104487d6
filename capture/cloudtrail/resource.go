package cloudtrail

import (
	"strings"

	"github.com/cloudtraceservice/cts"
)

// parameter is a request parameter that names the resource of an operation.
type parameter struct {
	source string // of the event, without ".amazonaws.com"; "" for any
	path   string // names of members, joined by dots; arrays on the way are gone through
	kind   string // the resource's type, as AWS CloudFormation and AWS Config name it
	id     bool   // whether the value is an id, and not a name
}

// parameters are in order of preference: where two are present, the first names what
// the operation changes, such as the volume of AttachVolume.
var parameters = []parameter{
	{"ec2", "volumeId", "AWS::EC2::Volume", true},
	{"ec2", "snapshotId", "AWS::EC2::Snapshot", true},
	{"ec2", "imageId", "AWS::EC2::Image", true},
	{"ec2", "routeTableId", "AWS::EC2::RouteTable", true},
	{"ec2", "internetGatewayId", "AWS::EC2::InternetGateway", true},
	{"ec2", "natGatewayId", "AWS::EC2::NatGateway", true},
	{"ec2", "networkAclId", "AWS::EC2::NetworkAcl", true},
	{"ec2", "allocationId", "AWS::EC2::EIP", true},
	{"ec2", "groupId", "AWS::EC2::SecurityGroup", true},
	{"ec2", "networkInterfaceId", "AWS::EC2::NetworkInterface", true},
	{"", "instancesSet.items.instanceId", "AWS::EC2::Instance", true},
	{"", "instanceId", "AWS::EC2::Instance", true},
	{"ec2", "subnetId", "AWS::EC2::Subnet", true},
	{"ec2", "vpcId", "AWS::EC2::VPC", true},
	{"ec2", "keyName", "AWS::EC2::KeyPair", false},
	{"cloudformation", "stackName", "AWS::CloudFormation::Stack", false},
	{"cloudtrail", "name", "AWS::CloudTrail::Trail", false},
	{"cloudtrail", "trailName", "AWS::CloudTrail::Trail", false},
	{"dynamodb", "tableName", "AWS::DynamoDB::Table", false},
	{"iam", "instanceProfileName", "AWS::IAM::InstanceProfile", false},
	{"iam", "roleName", "AWS::IAM::Role", false},
	{"iam", "userName", "AWS::IAM::User", false},
	{"iam", "groupName", "AWS::IAM::Group", false},
	{"iam", "policyArn", "AWS::IAM::ManagedPolicy", true},
	{"kms", "keyId", "AWS::KMS::Key", true},
	{"kms", "aliasName", "AWS::KMS::Alias", false},
	{"lambda", "functionName", "AWS::Lambda::Function", false},
	{"logs", "logGroupName", "AWS::Logs::LogGroup", false},
	{"rds", "dBInstanceIdentifier", "AWS::RDS::DBInstance", false},
	{"rds", "dBClusterIdentifier", "AWS::RDS::DBCluster", false},
	{"rds", "dBSnapshotIdentifier", "AWS::RDS::DBSnapshot", false},
	{"s3", "bucketName", "AWS::S3::Bucket", false},
	{"secretsmanager", "secretId", "AWS::SecretsManager::Secret", false},
	{"secretsmanager", "name", "AWS::SecretsManager::Secret", false},
	{"sns", "topicArn", "AWS::SNS::Topic", true},
	{"sqs", "queueUrl", "AWS::SQS::Queue", true},
	{"ssm", "name", "AWS::SSM::Parameter", false},
	{"sts", "roleArn", "AWS::IAM::Role", true},
}

// resource maps on what it was done.
func (m *mapper) resource() error {
	list, err := m.event.objects("resources")
	if err != nil {
		return err
	}
	var found []cts.Resource
	for _, r := range list {
		arn := first(r.get("ARN"), r.get("arn"), r.get("ARNPrefix"))
		kind := r.get("type")
		if arn == "" && kind == "" {
			continue
		}
		if owner := r.get("accountId"); len(found) == 0 && owner != m.account {
			m.t.ResourceAccountID = owner
		}
		found = append(found, cts.Resource{Type: kind, ID: arn, Name: resourceName(arn)})
	}
	if len(found) == 0 {
		found = m.fromParameters()
	}
	if len(found) > 0 {
		r := found[0]
		m.t.ResourceType, m.t.ResourceID, m.t.ResourceName = r.Type, r.ID, r.Name
		m.t.Ext.Resources = append(m.t.Ext.Resources, found[1:]...)
	}
	return nil
}

// fromParameters finds the resource, or several of one kind, in requestParameters.
func (m *mapper) fromParameters() []cts.Resource {
	request, ok := m.event.member("requestParameters")
	if !ok || request.raw[0] != '{' {
		return nil
	}
	source := strings.ToLower(m.t.ServiceType)
	for _, p := range parameters {
		if p.source != "" && p.source != source {
			continue
		}
		var found []cts.Resource
		for _, value := range lookUp(request.raw, strings.Split(p.path, ".")) {
			r := cts.Resource{Type: p.kind}
			switch name := resourceName(value); {
			case name != "":
				r.ID, r.Name = value, name
			case p.id:
				r.ID = value
			default:
				r.Name = value
			}
			found = append(found, r)
		}
		if len(found) > 0 {
			return found
		}
	}
	return nil
}

// lookUp returns the texts at a path below a value that is well formed.
func lookUp(raw []byte, path []string) []string {
	var found []string
	s := textScanner(raw, 0)
	switch c, _ := s.peek(); {
	case c == '[':
		_ = s.list(']', func() error { // no error: raw is well formed
			s.peek()
			from := s.i
			err := s.value()
			found = append(found, lookUp(raw[from:s.i], path)...)
			return err
		})
	case c == '{' && len(path) > 0:
		_ = s.list('}', func() error {
			name, err := s.name()
			if err != nil {
				return err
			}
			s.peek()
			from := s.i
			err = s.value()
			if name == path[0] {
				found = append(found, lookUp(raw[from:s.i], path[1:])...)
			}
			return err
		})
	case c == '"' && len(path) == 0:
		if text := decode(raw); text != "" {
			found = append(found, text)
		}
	}
	return found
}

// resourceName returns the name at the end of the ARN of a resource, "" for what is
// not an ARN. Of a bucket's object it is the key; the path of IAM names is not part
// of them.
func resourceName(arn string) string {
	service, resource := splitARN(arn)
	if service == "s3" {
		if _, key, ok := strings.Cut(resource, "/"); ok && key != "" {
			return key
		}
		return resource
	}
	i := strings.IndexAny(resource, ":/")
	if service == "iam" {
		i = strings.LastIndexByte(resource, '/')
	}
	if i+1 < len(resource) {
		return resource[i+1:]
	}
	return resource
}
