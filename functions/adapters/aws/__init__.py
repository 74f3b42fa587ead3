"""AWS: the bus on EventBridge and SQS, state in DynamoDB, blobs in S3, secrets in Secrets Manager."""
