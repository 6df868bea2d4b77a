"""A delivery's facts as one flat object: what vendors' filters and flow builders can read."""

from typing import Any

from shared.destinations.destination import Delivery
from shared.destinations.liquid import present
from shared.destinations.message import checkout_of, image_url, items_line
from shared.destinations.vendor_answer import mapping, rows


def facts_of(delivery: Delivery) -> dict[str, Any]:
    """The facts by name; what the checkout does not know is absent. ``items`` is one line, ``total`` an amount."""
    checkout = checkout_of(delivery)
    step = delivery.step or {}
    items = rows(checkout.get("items"))
    total = mapping(mapping(checkout.get("totals")).get("total"))
    link = step.get("recovery_url") or checkout.get("recovery_url")
    told: dict[str, Any] = present(
        {
            "checkout_id": checkout.get("id"),
            "event_id": delivery.message_id,
            "delivery_id": delivery.id,
            "status": checkout.get("status"),
            "reason": checkout.get("reason"),
            "step": step.get("index"),
            "items": items_line(items),
            "item_count": checkout.get("item_count"),
            "total": total.get("amount"),
            "currency": total.get("currency"),
            "image": image_url(items),
            "recovery_url": link,
            "recovery_suffix": link.rsplit("/", 1)[-1] if isinstance(link, str) else None,
            "coupon": step.get("coupon_code"),
            "unsubscribe_url": step.get("unsubscribe_url"),
            "do_not_send_after": delivery.facts.get("do_not_send_after"),
        }
    )
    return told
