"""Seals the credentials of all sources and endpoints with a new version of the stage's data key.

Older versions stay: what was not sealed anew, or is kept elsewhere (an answer for its Idempotency-Key, a restored
row), is opened by them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from shared.aws.credential_cipher import CredentialCipher
from shared.aws.data_keys import DataKeys
from shared.aws.faults import AWS_ERRORS, is_temporary
from shared.domain.merchant import Endpoint, Source
from shared.store.configuration import EndpointStore, MerchantStore, SourceStore, VersionConflict, Versioned

_PAGE = 25


@dataclass(slots=True)
class Resealed:
    """What one call came to: how many were sealed anew, and the ids of those that were not.

    ``left`` may go well another time (somebody changed them meanwhile, AWS failed); ``unreadable`` nobody can open.
    ``next``: the merchant to go on after, None at the end.
    """

    resealed: int = 0
    left: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    next: str | None = None

    def as_json(self) -> dict[str, object]:
        """What the function answers."""
        return {"resealed": self.resealed, "left": self.left, "unreadable": self.unreadable, "next": self.next}


class CredentialRotation:
    """Makes the version and walks all merchants. Every step may be repeated, by two at once too."""

    def __init__(
        self,
        merchants: MerchantStore,
        sources: SourceStore,
        endpoints: EndpointStore,
        data_keys: DataKeys,
        cipher: CredentialCipher,
    ) -> None:
        """Share the stores of one process."""
        self._merchants = merchants
        self._sources = sources
        self._endpoints = endpoints
        self._data_keys = data_keys
        self._cipher = cipher

    def begin(self) -> int:
        """The version that all is to be sealed with: a new one, or that of a rotation which did not come to its end."""
        return self._data_keys.rotate()

    def end(self, version: int) -> None:
        """Nothing is left to be sealed with the version."""
        self._data_keys.rotated(version)

    def reseal(self, version: int, after: str | None, out_of_time: Callable[[], bool]) -> Resealed:
        """Seal anew what is not sealed with the version, from the merchant after ``after`` on, while there is time.

        One that cannot be sealed anew holds up no other.
        """
        done = Resealed()
        while True:
            page, next_page = self._merchants.listed(_PAGE, after)
            for merchant in page:
                for source in self._sources.listed(merchant.id):
                    self._one(source, self._sources.reseal, version, done)
                for endpoint in self._endpoints.listed(merchant.id):
                    self._one(endpoint, self._endpoints.reseal, version, done)
                # Asked after one is done: every call gets further.
                if out_of_time():
                    done.next = merchant.id
                    return done
            if next_page is None:
                return done
            after = next_page

    def _one[Owner: (Source, Endpoint)](
        self, found: Versioned[Owner], write: Callable[[Owner, int], None], version: int, done: Resealed
    ) -> None:
        owner = found.value
        try:
            anew = self._cipher.resealed(owner, version)
            if anew is owner:
                return
            write(anew, found.version)
        except VersionConflict:
            done.left.append(owner.id)
        except AWS_ERRORS as error:
            (done.left if is_temporary(error) else done.unreadable).append(owner.id)
        else:
            done.resealed += 1
