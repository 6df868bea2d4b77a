"""Sources as they are asked: whose they are, their provider's API, the credentials in the clear."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.aws.credential_cipher import CredentialCipher
from shared.domain.ids import SourceId
from shared.domain.merchant import Merchant, Source
from shared.providers import registry
from shared.providers.provider import Provider, SourceContext
from shared.providers.pull import ApiAnswer, ApiRequest, ProviderApi, PullFailed, api_of
from shared.workflows.intake.provider_api import ApiClient
from shared.workflows.intake.sources import SourceDirectory, context_of


@dataclass(frozen=True, slots=True)
class AskedSource:
    """A source ready to be asked."""

    source: Source
    merchant: Merchant
    provider: Provider
    api: ProviderApi
    context: SourceContext


class SourceApis:
    """The APIs of all sources. One per process, shared by its threads."""

    def __init__(self, sources: SourceDirectory, cipher: CredentialCipher, client: ApiClient) -> None:
        """``client`` alone dials, counts and waits."""
        self._sources = sources
        self._cipher = cipher
        self._client = client

    def find(self, source_id: SourceId) -> AskedSource | None:
        """The source and how to ask it, or None when it is gone. Raises PullFailed where there is nothing to ask."""
        found = self._sources.find(source_id)
        if found is None:
            return None
        source, merchant = found
        provider = registry.provider(source.provider)
        api = api_of(provider)
        if api is None:
            raise PullFailed("the provider has no API to be asked")
        context = context_of(source, merchant, self._cipher.source(source), provider)
        return AskedSource(source, merchant, provider, api, context)

    def stands(self, source_id: SourceId) -> bool:
        """Whether the source is still there, as of the last few seconds.

        Asked before each write of what its API said: while the API was slow to answer, its merchant may have been
        erased, and the erasure waits only for those who remember the source for seconds.
        """
        return self._sources.find(source_id) is not None

    def ask(self, asked: AskedSource, requests: Sequence[ApiRequest], place: datetime | None = None) -> list[ApiAnswer]:
        """The answers, in order. ``place``: the one that an earlier Busy gave. Raises Busy, TryLater, PullFailed."""
        return self._client.ask(asked.source.id, asked.api, requests, asked.context, place)
