"""FlexyPe (docs.flexype.io, webhooks: abandoned cart recovery; the flat, unversioned body).

A stream of sessions: the vendor posts whenever a checkout session is created or changes. The body carries no id, no
time and no currency: the session is named by ``flx_s`` in ``checkout_url``, order is the stage's rank, the currency
is the source's setting. The shared secret stands in ``X-Flexype-Authorization``.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from shared.domain.cart import Cart, Item, Totals
from shared.domain.change import CheckoutChange, OrderKey, Signal
from shared.domain.checkout import Order
from shared.domain.money import parse_money, total_of
from shared.providers.authentication import shared_secret
from shared.providers.payload import Leaves, first_text, mapping, objects, quantity, query_value, read_object, text
from shared.providers.provider import (
    CredentialField,
    Description,
    Normalised,
    NotUnderstood,
    SourceContext,
    WebhookRequest,
)

SECRET_HEADER = "x-flexype-authorization"  # noqa: S105 - a header's name

STAGES = (
    *("INITIATED", "PHONE_ENTERED", "OTP_VERIFIED", "ADDRESS_LOADED", "ADDRESS_SHIPPING_SELECTED"),
    *("PAYMENT_LOADED", "PAYMENT_INITIATED", "COMPLETED"),
)
"""``session_state`` in order of progress, as the vendor lists it."""


class FlexyPe:
    """The FlexyPe adapter."""

    name = "flexype"
    checkout_hosts: frozenset[str] = frozenset()
    description = Description(
        title="FlexyPe",
        authentication="shared secret in the header X-Flexype-Authorization",
        credentials=(
            CredentialField("secret", "the secret of the webhook settings in FlexyPe's dashboard", generated=True),
        ),
        setup="FlexyPe dashboard, webhook settings: paste url and secret, choose the Abandoned Cart Recovery event.",
        declares_abandonment=False,
        events=("ACR",),
    )

    def authenticate(self, request: WebhookRequest, source: SourceContext) -> None:
        """Compare the secret header. Raises AuthenticationFailed."""
        shared_secret(request.headers.get(SECRET_HEADER), source.credentials.secrets)

    def read(self, request: WebhookRequest, source: SourceContext) -> dict[str, Any]:  # noqa: ARG002 - interface
        """The JSON object posted."""
        return read_object(request.body)

    def normalise(self, payload: dict[str, Any], request: WebhookRequest, source: SourceContext) -> Normalised:
        """One session state as a change of its checkout. Raises NotUnderstood."""
        external_id = query_value(payload.get("checkout_url"), "flx_s")
        if external_id is None:
            raise NotUnderstood("checkout_url carries no flx_s session id")
        stage = (text(payload.get("session_state")) or "").upper()
        if stage not in STAGES:
            raise NotUnderstood("session_state is missing or unknown")
        signal = self._signal(stage, source)
        cart = self._cart(payload, source)
        change = CheckoutChange(
            external_id=external_id,
            signal=signal,
            order_key=OrderKey(f"{STAGES.index(stage):02d}", clockless=True),
            body_digest=hashlib.sha256(request.body).digest()[:16],
            event_id=text(request.headers.get("x-event-id")),
            order=Order(None, None, cart.total() if cart else None) if signal is Signal.PURCHASED else None,
            leaves=self._leaves(payload, stage, source),
            cart=cart,
        )
        return Normalised(changes=(change,), assumed=("currency",) if cart else ())

    @staticmethod
    def _signal(stage: str, source: SourceContext) -> Signal:
        if stage == "COMPLETED":
            return Signal.PURCHASED
        if source.settings.on_arrival == "abandoned":
            return Signal.ABANDONED
        return Signal.PAYMENT_STARTED if stage == "PAYMENT_INITIATED" else Signal.ACTIVITY

    def _leaves(self, payload: Mapping[str, Any], stage: str, source: SourceContext) -> dict[str, Any]:
        user = mapping(payload.get("user"))
        address = mapping(user.get("address"))
        metadata = mapping(payload.get("metadata"))
        leaves = Leaves(source, self.checkout_hosts)
        leaves.text("stage", stage.lower())
        leaves.phone(user.get("phone_no"), user.get("phone"), dial_code=user.get("dial_code"))
        leaves.email(user.get("email"))
        leaves.text("customer.first_name", user.get("first_name"))
        leaves.text("customer.last_name", user.get("last_name"))
        leaves.address(
            "shipping_address",
            {
                "first_name": address.get("first_name"),
                "last_name": address.get("last_name"),
                "phone": address.get("phone"),
                "address1": address.get("address1"),
                "address2": address.get("address2"),
                "city": address.get("city"),
                "province": address.get("state"),
                "province_code": address.get("state_code"),
                "country": address.get("country"),
                "country_code": address.get("country_code"),
                "postal_code": address.get("postal_code"),
            },
        )
        leaves.checkout_url(payload.get("checkout_url"))
        leaves.attribution((pair.get("name"), pair.get("value")) for pair in objects(metadata.get("utm")))
        leaves.text("attribution.landing_page", metadata.get("landing_page"))
        leaves.text("attribution.referrer", metadata.get("orig_referer"), metadata.get("referer_host"))
        return leaves.found

    @staticmethod
    def _cart(payload: Mapping[str, Any], source: SourceContext) -> Cart | None:
        sent = payload.get("cart_items")
        if not isinstance(sent, list) and payload.get("total_payable") is None:
            return None
        currency = source.currency
        items = tuple(_item(line, currency) for line in objects(sent))
        subtotal = total_of(
            parse_money(line.get("sub_total_price"), currency) or item.line_total()
            for line, item in zip(objects(sent), items, strict=True)
        )
        totals = Totals(
            subtotal=subtotal,
            discount=parse_money(payload.get("discount"), currency),
            total=parse_money(payload.get("total_payable"), currency),
        )
        return Cart(currency, currency_assumed=True, items=items, totals=totals, items_known=isinstance(sent, list))


def _item(line: Mapping[str, Any], currency: str) -> Item:
    """One of ``cart_items``. In the vendor's sample ``title`` holds the variant's; the handle names the product."""
    variant = mapping(line.get("variant"))
    title = first_text(line.get("title"), variant.get("title"))
    variant_title = text(variant.get("title"))
    return Item(
        quantity=quantity(line.get("quantity")),
        product_id=text(line.get("product_id")),
        variant_id=first_text(line.get("variant_id"), variant.get("variant_id")),
        title=title,
        variant_title=None if variant_title == title else variant_title,
        handle=text(line.get("handle")),
        unit_price=parse_money(line.get("price"), currency) or parse_money(variant.get("price"), currency),
        compare_at_price=parse_money(variant.get("compare_at_price"), currency),
        total=parse_money(line.get("total_price"), currency),
        image_url=text(line.get("image")),
    )


PROVIDER = FlexyPe()
