"""Which errors of AWS pass: sorted by code, here and nowhere else.

Temporary is what the same request may outlive: throttling, a conflict, an outage, and whatever a person must mend in
the stage (a right, a key, a missing queue). A deploy that took a right away must not turn good records into poison:
they wait, the alarms ring, and they go through once it is put right. Permanent is what is wrong with the request
itself, which no repetition and no mend of the stage makes right: an invalid value, an item that is too large.
"""

from collections.abc import Mapping
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError, ValidationError
from botocore.parsers import ResponseParserError

from shared.aws.bucket_objects import BucketUnavailable
from shared.aws.data_keys import DataKeyMissing
from shared.aws.queues import QueueRefused, QueueUnavailable
from shared.aws.sealing import SealBroken
from shared.store.cancel_reasons import TOO_LARGE, is_too_large
from shared.store.table import StoreRefused, StoreUnavailable

AWS_ERRORS: Final = (
    *(StoreUnavailable, StoreRefused, QueueUnavailable, QueueRefused, BucketUnavailable),
    *(ClientError, BotoCoreError, ResponseParserError, DataKeyMissing, SealBroken),
)
"""Whatever a call to AWS raises, through our stores and queues or past them, and the opening of what is sealed."""

_PASSES = frozenset(
    {
        # Too much at once: DynamoDB, SQS, S3, KMS, Secrets Manager, Scheduler, each by its own words.
        *("ThrottlingException", "Throttling", "ThrottledException", "RequestThrottled", "RequestThrottledException"),
        *("ProvisionedThroughputExceededException", "ProvisionedThroughputExceeded", "RequestLimitExceeded"),
        *("LimitExceededException", "TooManyRequestsException", "SlowDown", "BandwidthLimitExceeded", "OverLimit"),
        *("KmsThrottled", "KMSThrottlingException", "ServiceQuotaExceededException", "PriorRequestNotComplete"),
        # Others at the same row, or the same object, at the same time.
        *("TransactionConflictException", "TransactionInProgressException", "ReplicatedWriteConflictException"),
        *("OperationAborted", "ConflictException", "ResourceInUseException"),
        # Their fault, also where the status does not say so.
        *("InternalServerError", "InternalServerException", "InternalServiceError", "InternalServiceErrorException"),
        *("InternalError", "InternalFailure", "KMSInternalException", "DependencyTimeoutException"),
        *("KeyUnavailableException", "ServiceUnavailable", "ServiceUnavailableException"),
        *("RequestTimeout", "RequestTimeoutException", "RequestExpired"),
    }
)
_STAGE = frozenset(
    {
        # A right that a deploy forgot, or that is on its way through IAM.
        *("AccessDenied", "AccessDeniedException", "KmsAccessDenied", "UnauthorizedOperation", "NotAuthorized"),
        # Credentials that ran out, or a clock that jumped.
        *("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"),
        *("InvalidSignatureException", "SignatureDoesNotMatch", "RequestTimeTooSkewed", "InvalidAccessKeyId"),
        *("MissingAuthenticationToken", "MissingAuthenticationTokenException", "IncompleteSignature"),
        # Something of the stage that is not there, or switched off: a table being restored, a key, a queue, a bucket.
        *("ResourceNotFoundException", "TableNotFoundException", "QueueDoesNotExist", "NonExistentQueue"),
        *("NoSuchBucket", "NotFoundException", "DisabledException", "KMSInvalidStateException", "KmsDisabled"),
        *("KmsInvalidState", "KmsNotFound", "OptInRequired", "KmsOptInRequired", "DecryptionFailure"),
    }
)
_TEMPORARY_STATUSES = frozenset({408, 425, 429})


def is_temporary(error: BaseException) -> bool:
    """Whether the same call may succeed later; of several errors, whether any may. False for what is no AWS error."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_temporary(own) for own in error.exceptions)
    if isinstance(error, ClientError):
        return _passes(error.response)
    if isinstance(error, QueueRefused):
        return _bare(error.code) in _PASSES | _STAGE
    if isinstance(error, ParamValidationError | ValidationError | StoreRefused | SealBroken):
        return False
    return isinstance(error, AWS_ERRORS)


def code_of(error: BaseException) -> str:
    """The error in one word, for logs and reasons: AWS's code, else the error's own name.

    Quotes no value.
    """
    if isinstance(error, ClientError):
        said = error.response.get("Error", {}).get("Message", "")
        return TOO_LARGE if is_too_large(said) else _code(error.response) or type(error).__name__
    return error.code if isinstance(error, StoreRefused | QueueRefused) else type(error).__name__


def _passes(response: Mapping[str, Any]) -> bool:
    """A code that is known decides; of one that is not, the status."""
    if _code(response) in _PASSES | _STAGE:
        return True
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= 500 or status in _TEMPORARY_STATUSES


def _code(response: Mapping[str, Any]) -> str:
    return _bare(str(response.get("Error", {}).get("Code", "")))


def _bare(code: str) -> str:
    """The code without what some protocols put before it (``AWS.SimpleQueueService.NonExistentQueue``, ``ns#Code``)."""
    return code.rpartition("#")[2].rpartition(".")[2]
