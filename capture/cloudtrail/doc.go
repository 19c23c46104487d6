// Package cloudtrail reads AWS CloudTrail log files and maps their events to traces.
//
// A [Reader] takes the events out of a file one by one, [Map] makes a trace of an
// event, and [Restore] gives the event back. The traces are for
// [cts.Tracker.Import], which derives their ids from the event's account and id:
// importing a file twice changes nothing.
//
//	r := cloudtrail.NewReader(file, nil)
//	for t, err := range r.All() {
//		…
//	}
//
// # What becomes of an event
//
//	time                  eventTime, RFC 3339
//	trace_name            eventName; without one (Insights events) eventType
//	service_type          eventSource, or insightDetails.eventSource, in upper case without ".amazonaws.com" and ".cn"
//	trace_type            eventType: AwsApiCall and AwsVpceEvent → ApiCall; AwsConsoleAction and AwsConsoleSignIn →
//	                      ConsoleAction; AwsServiceEvent and AwsCloudTrailInsight → SystemAction; else Others.
//	                      sessionCredentialFromConsole "true" → ConsoleAction
//	event_type            eventCategory: Data and NetworkActivity → data; without one, managementEvent false → data;
//	                      else system
//	trace_rating          warning with an errorCode or errorMessage, or a failed sign-in; else normal
//	ext.outcome           denied, failure or success, see below
//	code                  errorCode if it is a number. CTS has an HTTP status here, which CloudTrail does not record;
//	                      so there is none for a success, and codes in words are a label
//	message               errorMessage
//	read_only             readOnly
//	source_ip             sourceIPAddress, as it is: an address, the name of a service, or "AWS Internal"
//	user_agent            userAgent
//	request_id            requestID
//	api_version           apiVersion
//	domain_id             recipientAccountId
//	request, response     requestParameters and responseElements, if they are objects or arrays: the same JSON, compact
//	resource_type, …      resources, or well-known requestParameters, see below
//	user                  userIdentity, see below
//	ext.labels            awsRegion, errorCode, sharedEventID and vpcEndpointId, see [LabelRegion]. A region is no
//	                      project, so project_id stays empty
//	ext.source            name "aws-cloudtrail/" + recipientAccountId, or "aws-cloudtrail" without one; id eventID
//
// All the rest of the event, and what is mapped too, is in one member more of the
// trace, [Member], as it was; only what went to request and response is not
// repeated there. So nothing is lost where CloudTrail knows more than a trace.
//
// # The user
//
//	user.type                      type, in the words of CloudTrail: Root, IAMUser, AssumedRole, Role, FederatedUser,
//	                               AWSAccount, AWSService, SAMLUser, WebIdentityUser, IdentityCenterUser, Unknown
//	user.name                      userName, or the end of the arn ("Role/session" of an assumed role, "root"), or
//	                               invokedBy of a service that acts for itself
//	user.user_name                 userName
//	user.id, user.principal_id     principalId; user.id without one: onBehalfOf.userId
//	user.domain.id, .account_id    accountId
//	user.access_key_id             accessKeyId
//	user.principal_urn             arn
//	user.principal_is_root_user    "true" for Root, "false" for every other type
//	user.invoked_by                invokedBy
//	user.session_context           sessionContext.attributes: creationDate in milliseconds, mfaAuthenticated
//	user.OriginUser                sessionContext.sourceIdentity, or the userName of the sessionIssuer of a
//	                               FederatedUser, or onBehalfOf.userId of somebody else
//	ext.role                       userName or end of the arn of a sessionIssuer of type Role; of a Role itself too
//
// # The resource
//
// The first of resources is the resource of the trace, the others are in
// ext.resources. Its type is kept (AWS::S3::Bucket), its id is the ARN, its name
// the end of the ARN; resource_account_id is its accountId if that is not the
// user's. Without resources, the first of these requestParameters that there is
// gives the resource; a name that is an ARN is taken as one:
//
//	any service     instancesSet.items.instanceId, instanceId → AWS::EC2::Instance, unless ec2 has one before it
//	cloudformation  stackName → AWS::CloudFormation::Stack
//	cloudtrail      name, trailName → AWS::CloudTrail::Trail
//	dynamodb        tableName → AWS::DynamoDB::Table
//	ec2             volumeId, snapshotId, imageId, routeTableId, internetGatewayId, natGatewayId, networkAclId,
//	                allocationId, groupId, networkInterfaceId; behind the instance: subnetId, vpcId, keyName
//	iam             instanceProfileName, roleName, userName, groupName, policyArn
//	kms             keyId, aliasName
//	lambda          functionName
//	logs            logGroupName
//	rds             dBInstanceIdentifier, dBClusterIdentifier, dBSnapshotIdentifier
//	s3              bucketName
//	secretsmanager  secretId, name
//	sns, sqs        topicArn, queueUrl
//	ssm             name → AWS::SSM::Parameter
//	sts             roleArn
//
// # The outcome
//
// An event with an errorCode or errorMessage, or with the response Failure of a
// sign-in, has failed. It was denied if the code, less a leading "Client." or
// "Server.", contains AccessDenied, begins with Unauthorized or NotAuthorized, or is
// one of the codes for credentials that are missing, wrong or expired (AuthFailure,
// SignatureDoesNotMatch, ExpiredToken and their like), and if a sign-in failed.
//
// # What is not kept
//
// Redaction in the Tracker masks secrets, such as the sessionToken that AssumeRole
// returns, and lists their paths in ext.redacted. Its limits cut request, response
// and unknown members over 64 KiB, which CloudTrail events (at most 256 KiB) can
// be; set [cts.Limits] Body and Unknown to [cts.MaxTraceBytes] to keep them whole.
// Other texts, such as a user agent over 1 KiB, lose nothing by being cut, for they
// are in [Member] too. White space between the parts of an event is not kept, nor
// are invalid UTF-8 and lone surrogates, which become U+FFFD.
package cloudtrail
