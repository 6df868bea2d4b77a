"""What the reading function is made of, once per process."""

from collections.abc import Callable
from datetime import datetime
from functools import cache, cached_property

from shared.api.authentication import Authenticator
from shared.api.problems import unauthorised
from shared.aws.environment import Environment
from shared.aws.stores import Stores, now
from shared.domain.checkout import Checkout
from shared.domain.ids import MerchantId
from shared.domain.merchant import Merchant
from shared.domain.recovery_link import RecoveryCodes
from shared.store.activities import ActivityStore
from shared.store.configuration import MerchantStore, TokenStore
from shared.store.episodes import EpisodeStore
from shared.store.listing import CheckoutListing
from shared.workflows.insight.checkout_pages import CheckoutPages
from shared.workflows.intake.purchase import purchases_over
from shared.workflows.recovery.dismissal import Dismissals


class Services(Stores):
    """What reading needs, each made at first use and kept for the life of the process."""

    now: Callable[[], datetime] = staticmethod(now)

    @cached_property
    def authenticator(self) -> Authenticator:
        """Who is asking; the operator's key is not known here."""
        return Authenticator(TokenStore(self.table), lambda: "")

    def merchant(self, merchant_id: MerchantId) -> Merchant:
        """The merchant asking, read. Raises Problem 401 when it has been erased meanwhile."""
        found = MerchantStore(self.table).get(merchant_id)
        if found is None:
            raise unauthorised("The merchant has been erased.")
        return found.value

    @cached_property
    def pages(self) -> CheckoutPages:
        """Pages of checkouts."""
        return CheckoutPages(self.checkouts, CheckoutListing(self.table))

    @cached_property
    def activities(self) -> ActivityStore:
        """Timelines."""
        return ActivityStore(self.table)

    @cached_property
    def dismissals(self) -> Dismissals:
        """Ends checkouts at the merchant's word."""
        return Dismissals(self.table, self.checkouts, EpisodeStore(self.table), purchases_over(self), self.now)

    def cursor_mac(self, text: bytes) -> str:
        """A keyed hash of a cursor's place."""
        return self.keys.cursor_mac(text)

    @cached_property
    def _codes(self) -> RecoveryCodes:
        return self.keys.recovery_codes()

    def link(self, checkout: Checkout) -> str:
        """The recovery link of a checkout."""
        return f"{self.environment.public_url}/r/{self._codes.code(checkout.digest)}"


def prepare() -> None:
    """Do ahead what the first client would wait for: the GraphQL library and the schema, keys, the table."""
    from functions.reading import shopify

    shopify.rehearse()
    services().connect()


@cache
def services() -> Services:
    """The process's services. Raises MissingVariable."""
    return Services(Environment.read())
