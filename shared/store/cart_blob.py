"""The cart snapshot as one compressed attribute: new items never stand beside an old total.

JSON without nulls, deflated against a dictionary of our own field names. The first byte is the format's version; a
dictionary, once shipped, never changes.
"""

import json
import zlib
from decimal import Decimal
from typing import Any

from shared.domain.cart import Cart, Item, TaxLine, Totals
from shared.domain.money import Money

_VERSION = 1
_MEMORY = 6
"""As zlib counts it: 160 KB and not the usual 256, which each pack would ask of the system and give back, at several
times the cost of deflating; for carts of a few kilobytes it makes the same bytes."""
_DICTIONARY = (
    b'"https://cdn.shopify.com/s/files/1/"https://www..myshopify.com/.jpg?v=17.png.webp"attributes":{"'
    b'"handle":"","sku":"","shop":{"tax_lines":[{"title":"","rate":"","price":'
    b'"discount_codes":["],"cart_type":"","assumed":true,"unknown":true,"tax_included":true,"shipping":,"tax":,'
    b'"duties":,{"currency":"USD","currency":"EUR","currency":"INR","items":[{"quantity":"1","id":"",'
    b'"product_id":"","variant_id":"","title":"","variant_title":"","handle":"","unit_price":,'
    b'"compare_at_price":,"total":,"image_url":"https://","product_url":"https://"}],'
    b'"totals":{"subtotal":,"discount":0,"total":}}'
)
_ITEM_TEXTS = (
    *(
        "id",
        "product_id",
        "variant_id",
        "sku",
        "title",
        "variant_title",
        "handle",
        "image_url",
        "product_url",
    ),
)
_ITEM_MONEY = ("unit_price", "compare_at_price", "total")
_TOTALS = ("subtotal", "discount", "shipping", "tax", "duties", "total")


def pack(cart: Cart) -> bytes:
    """The snapshot as bytes: the same cart makes the same bytes."""
    plain = _drop_empty(
        {
            "currency": cart.currency,
            "assumed": cart.currency_assumed or None,
            "items": [_item(item, cart.currency) for item in cart.items],
            "totals": _totals(cart.totals, cart.currency),
            "shop": None if cart.shop_totals is None else _totals(cart.shop_totals, None),
            "tax_lines": [
                _drop_empty(
                    {
                        "title": line.title,
                        "rate": None if line.rate is None else str(line.rate),
                        "price": _money(line.price, cart.currency),
                    }
                )
                for line in cart.tax_lines
            ],
            "discount_codes": list(cart.discount_codes),
            "cart_type": cart.cart_type,
            "unknown": None if cart.items_known else True,
        }
    )
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode()
    deflate = zlib.compressobj(9, wbits=-15, memLevel=_MEMORY, zdict=_DICTIONARY)
    return bytes((_VERSION,)) + deflate.compress(text) + deflate.flush()


def unpack(blob: bytes) -> Cart:
    """The snapshot behind ``pack``'s bytes. Raises ValueError for a version this code does not know."""
    if blob[0] != _VERSION:
        raise ValueError(f"cart snapshot of unknown version {blob[0]}")
    plain = json.loads(zlib.decompressobj(wbits=-15, zdict=_DICTIONARY).decompress(blob[1:]))
    currency = plain.get("currency")
    return Cart(
        currency=currency,
        currency_assumed=plain.get("assumed", False),
        items=tuple(_read_item(item, currency) for item in plain.get("items", ())),
        totals=_read_totals(plain.get("totals", {}), currency),
        shop_totals=_read_totals(plain["shop"], None) if "shop" in plain else None,
        tax_lines=tuple(
            TaxLine(
                line.get("title"),
                Decimal(line["rate"]) if "rate" in line else None,
                _read_money(line.get("price"), currency),
            )
            for line in plain.get("tax_lines", ())
        ),
        discount_codes=tuple(plain.get("discount_codes", ())),
        cart_type=plain.get("cart_type"),
        items_known=not plain.get("unknown", False),
    )


def _item(item: Item, currency: str | None) -> dict[str, Any]:
    texts = {name: getattr(item, name) for name in _ITEM_TEXTS}
    money = {name: _money(getattr(item, name), currency) for name in _ITEM_MONEY}
    return _drop_empty({"quantity": str(item.quantity), **texts, **money, "attributes": dict(item.attributes)})


def _read_item(plain: dict[str, Any], currency: str | None) -> Item:
    known: dict[str, Any] = {name: plain[name] for name in _ITEM_TEXTS if name in plain}
    known |= {name: _read_money(plain[name], currency) for name in _ITEM_MONEY if name in plain}
    return Item(Decimal(plain["quantity"]), **known, attributes=plain.get("attributes", {}))


def _totals(totals: Totals, currency: str | None) -> dict[str, Any]:
    money = {name: _money(getattr(totals, name), currency) for name in _TOTALS}
    return _drop_empty({**money, "tax_included": totals.tax_included})


def _read_totals(plain: dict[str, Any], currency: str | None) -> Totals:
    money = {name: _read_money(plain[name], currency) for name in _TOTALS if name in plain}
    return Totals(**money, tax_included=plain.get("tax_included"))


def _money(money: Money | None, currency: str | None) -> int | list[Any] | None:
    """Minor units alone in the cart's own currency, with the code in any other."""
    if money is None:
        return None
    return money.minor if money.currency == currency else [money.minor, money.currency]


def _read_money(plain: int | list[Any] | None, currency: str | None) -> Money | None:
    if plain is None:
        return None
    if isinstance(plain, list):
        return Money(plain[0], plain[1])
    return Money(plain, currency or "")


def _drop_empty(plain: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in plain.items() if value is not None and value not in ([], {})}
