"""Errors of AWS, sorted: what the same call may outlive, and what it will meet for ever."""

from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.parsers import ResponseParserError

from shared.aws.faults import code_of, is_temporary
from shared.aws.queues import QueueRefused, QueueUnavailable, all_taken
from shared.store.table import StoreRefused, StoreUnavailable


def said(code: str, status: int = 400, message: str = "") -> ClientError:
    """What a service answers."""
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "PutItem")


@pytest.mark.parametrize(
    "code",
    [
        *("ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded", "SlowDown"),
        *("KmsThrottled", "LimitExceededException", "TransactionConflictException", "TransactionInProgressException"),
        *("InternalServerError", "RequestTimeout", "KMSInternalException", "com.amazonaws.sqs#RequestThrottled"),
    ],
)
def test_throttling_a_conflict_and_their_own_fault_pass(code: str) -> None:
    assert is_temporary(said(code))


@pytest.mark.parametrize(
    "code",
    [
        *("AccessDeniedException", "AccessDenied", "ExpiredTokenException", "InvalidSignatureException"),
        *("ResourceNotFoundException", "AWS.SimpleQueueService.NonExistentQueue", "DisabledException", "NoSuchBucket"),
    ],
)
def test_what_a_person_must_mend_in_the_stage_makes_no_poison_of_good_records(code: str) -> None:
    assert is_temporary(said(code, 403))


@pytest.mark.parametrize(
    "code", ["ValidationException", "InvalidCiphertextException", "NoSuchKey", "InvalidMessageContents"]
)
def test_what_is_wrong_with_the_request_itself_stays_wrong(code: str) -> None:
    assert not is_temporary(said(code))


@pytest.mark.parametrize(("status", "temporary"), [(500, True), (503, True), (429, True), (400, False), (413, False)])
def test_an_unknown_code_is_judged_by_its_status(status: int, temporary: bool) -> None:
    assert is_temporary(said("SomethingNew", status)) is temporary


@pytest.mark.parametrize(
    "error",
    [
        *(EndpointConnectionError(endpoint_url="x"), ConnectTimeoutError(endpoint_url="x")),
        *(ReadTimeoutError(endpoint_url="x"), ResponseStreamingError(error="cut"), NoCredentialsError()),
        *(IncompleteReadError(actual_bytes=1, expected_bytes=2), ResponseParserError("cut")),
        *(StoreUnavailable("conflicts"), QueueUnavailable("1 refused")),
    ],
    ids=lambda own: type(own).__name__,
)
def test_no_answer_or_half_of_one_is_worth_another_try(error: Exception) -> None:
    assert is_temporary(error)


@pytest.mark.parametrize("error", [ParamValidationError(report="x"), StoreRefused("ValidationError"), KeyError("st")])
def test_our_own_mistakes_do_not_pass(error: Exception) -> None:
    assert not is_temporary(error)


def test_of_several_errors_one_that_may_pass_is_enough() -> None:
    assert is_temporary(ExceptionGroup("both", [KeyError("st"), said("ThrottlingException")]))
    assert not is_temporary(ExceptionGroup("both", [KeyError("st"), said("ValidationException")]))


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (said("ValidationException", message="Item size has exceeded the maximum allowed size"), "ItemTooLarge"),
        (said("ValidationException", message="asha@example.com is no number"), "ValidationException"),
        (StoreRefused("ItemTooLarge"), "ItemTooLarge"),
        (KeyError("asha@example.com"), "KeyError"),
    ],
)
def test_an_error_in_one_word_quotes_nobody(error: Exception, word: str) -> None:
    assert code_of(error) == word


def failed(code: str, *, ours: bool) -> Any:
    """One entry of what SQS says of a batch (API reference, BatchResultErrorEntry)."""
    return {"Id": "0", "SenderFault": ours, "Code": code, "Message": "quotes what was sent"}


def batch(*entries: Any) -> Any:
    """The answer to a batch."""
    return {"Successful": [], "Failed": list(entries)}


def test_a_message_that_sqs_never_takes_is_told_from_one_that_it_does_not_take_now() -> None:
    all_taken(batch())
    with pytest.raises(QueueUnavailable) as later:
        all_taken(batch(failed("InternalError", ours=False)))
    with pytest.raises(QueueRefused) as never:
        all_taken(batch(failed("InvalidMessageContents", ours=True)))
    assert (is_temporary(later.value), is_temporary(never.value)) == (True, False)
    assert code_of(never.value) == "InvalidMessageContents"


def test_while_any_of_a_batch_may_be_taken_later_all_of_it_comes_again() -> None:
    with pytest.raises(QueueUnavailable):
        all_taken(batch(failed("InvalidMessageContents", ours=True), failed("InternalError", ours=False)))


@pytest.mark.parametrize("code", ["RequestThrottled", "KmsThrottled", "AWS.SimpleQueueService.NonExistentQueue"])
def test_what_sqs_calls_our_fault_and_a_person_or_a_minute_mends_passes(code: str) -> None:
    assert is_temporary(QueueRefused(code))
