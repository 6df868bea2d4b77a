"""What is granted although no flow of the tests needs it, each with its reason. Nothing else is.

An exception that nothing asks for fails the test as well.
"""

from collections.abc import Mapping
from typing import Final

BY_LAMBDA_ITSELF: Final[Mapping[str, tuple[str, ...]]] = {
    "logs": ("logs:CreateLogStream", "logs:PutLogEvents"),
    "queue": ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
    "stream": ("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"),
    "given up": ("s3:PutObject", "s3:ListBucket"),
}
"""What Lambda does under a function's role, and no code of ours calls.

AWS Lambda Developer Guide: "Defining Lambda function permissions with an execution role" (the managed policies
AWSLambdaSQSQueueExecutionRole and AWSLambdaDynamoDBExecutionRole), "Retain discarded records for a DynamoDB event
source".
"""

_BY_KMS_ITSELF: Final = "what KMS sealed before there was a data key; sealed anew by the first `make rotate-data-key`"

UNUSED: Final[Mapping[tuple[str, str, str], str]] = {
    (function, "kms:Decrypt", "CREDENTIALS_KEY_ARN"): _BY_KMS_ITSELF
    for function in ("console", "deliver", "callbacks", "pull")
}
"""By function, action and resource why it stays."""
