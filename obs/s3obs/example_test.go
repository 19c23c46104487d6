package s3obs_test

import (
	"context"
	"fmt"
	"time"

	"github.com/cloudtraceservice/cts/obs/s3obs"
)

// A bucket of Huawei OBS whose objects nobody can remove for seven years. The keys
// come from the environment, or whatever else the SDK looks at.
func Example() {
	const retention = 7 * 365 * 24 * time.Hour
	ctx := context.Background()
	bucket, err := s3obs.New(ctx, "audit-trail", &s3obs.Options{
		Endpoint:   "https://obs.eu-de.otc.t-systems.com",
		Region:     "eu-de",
		Encryption: s3obs.EncryptionKMS,
		Lock:       s3obs.LockCompliance,
		Retention:  retention,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	report, err := bucket.CheckBucket(ctx, s3obs.Evidence(retention))
	if err != nil {
		fmt.Println(err) // what is not as wanted, and what to do about it
		return
	}
	fmt.Println(report)
}

func ExamplePolicy() {
	text, err := s3obs.Policy("audit-trail", nil, s3obs.Reader)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(text)
	// Output:
	// {
	//   "Version": "2012-10-17",
	//   "Statement": [
	//     {
	//       "Sid": "Read",
	//       "Effect": "Allow",
	//       "Action": [
	//         "s3:GetObject",
	//         "s3:GetObjectVersion",
	//         "s3:GetObjectRetention"
	//       ],
	//       "Resource": [
	//         "arn:aws:s3:::audit-trail/CloudTraces/*"
	//       ]
	//     },
	//     {
	//       "Sid": "List",
	//       "Effect": "Allow",
	//       "Action": [
	//         "s3:ListBucket",
	//         "s3:ListBucketVersions"
	//       ],
	//       "Resource": [
	//         "arn:aws:s3:::audit-trail"
	//       ],
	//       "Condition": {
	//         "StringLike": {
	//           "s3:prefix": [
	//             "CloudTraces/*"
	//           ]
	//         }
	//       }
	//     },
	//     {
	//       "Sid": "CheckBucket",
	//       "Effect": "Allow",
	//       "Action": [
	//         "s3:GetBucketVersioning",
	//         "s3:GetEncryptionConfiguration",
	//         "s3:GetBucketObjectLockConfiguration"
	//       ],
	//       "Resource": [
	//         "arn:aws:s3:::audit-trail"
	//       ]
	//     }
	//   ]
	// }
}
