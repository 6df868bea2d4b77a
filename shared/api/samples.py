"""A sample webhook of a source's provider: what it may be asked to say, and what became of it."""

from typing import Annotated, Literal, TypedDict, cast

from pydantic import StringConstraints

from shared.api.checkouts import Email, Phone
from shared.api.fields import Strict
from shared.api.problems import FieldError, invalid
from shared.domain.phone import to_e164
from shared.domain.pointer import pointer
from shared.domain.sample import Sample
from shared.workflows.intake.sample import Sent


class SampleContactBody(Strict):
    """Your own phone and e-mail, at which the messages of your campaigns are to arrive."""

    phone: Annotated[Phone, StringConstraints(min_length=1, max_length=40)] | None = None
    email: Email | None = None


class SampleBody(Strict):
    """Whom the sample names: nobody, where no contact is given."""

    contact: SampleContactBody | None = None

    def sample(self, country: str) -> Sample:
        """``country`` (alpha-2) reads a phone without a country code. Raises Problem 422 for what is no number."""
        given = self.contact or SampleContactBody()
        number = None if given.phone is None else to_e164(given.phone, country)
        if given.phone is not None and number is None:
            raise invalid([FieldError("not a valid phone number", pointer("contact", "phone"))])
        return Sample(number, given.email)


class SampleJson(TypedDict):
    """What became of a sample: as a provider would be answered."""

    status: Literal["accepted", "duplicate", "ignored", "quarantined"]
    """`quarantined`: it is not understood, say the source's settings; a sample itself is not kept there."""
    sample: str
    """Which of the provider's webhooks it was."""
    checkout_id: str | None
    """The checkout it made: `test` is true, and it is in no figure."""
    reason: str | None
    """Why it made none."""


def sample_json(sent: Sent) -> SampleJson:
    """The answer."""
    receipt = sent.receipt
    return {
        "status": cast("Literal['accepted', 'duplicate', 'ignored', 'quarantined']", receipt.status),
        "sample": sent.name,
        "checkout_id": next(iter(receipt.checkout_ids), None),
        "reason": receipt.reason,
    }
