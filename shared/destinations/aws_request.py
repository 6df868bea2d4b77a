"""Requests to AWS in a merchant's name, signed with Signature Version 4 and sent as any other by the guarded client.

botocore's clients would bring connections, retries and waits of their own beside those of a delivery.
"""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from shared.destinations.webhook import USER_AGENT

if TYPE_CHECKING:
    from botocore.credentials import Credentials, ReadOnlyCredentials


@cache
def role() -> "Credentials | None":
    """The function's own credentials; botocore renews them where they expire."""
    from botocore.session import Session

    return Session().get_credentials()


def signed(
    url: str, body: bytes, headers: Mapping[str, str], *, service: str, region: str, by: "ReadOnlyCredentials"
) -> dict[str, str]:
    """The headers of a signed POST, names in lower case; those given are signed along."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    request = AWSRequest(method="POST", url=url, data=body, headers=dict(headers))
    SigV4Auth(by, service, region).add_auth(request)
    return {**{name.lower(): value for name, value in request.headers.items()}, "user-agent": USER_AGENT}
