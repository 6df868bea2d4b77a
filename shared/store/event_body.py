"""A body of an event as it is kept: deflated against a dictionary of what every envelope says.

A checkout of one item takes 0.4 KB so and 1.1 KB without: its row is one write unit and not two. The first byte is the
format's version; a dictionary, once shipped, never changes. What was kept before there was one is a stream of zlib,
which begins with another byte (RFC 1950, section 2.2: 0x78).
"""

import zlib

_VERSION = b"\x01"
_DICTIONARY = (
    b'"https://cdn.shopify.com/s/files/1/.myshopify.com/.jpg?v=17.png"+91"+1"IN""US"United States"India"reason":"incom'
    b'plete","stage":"address_loaded""status":"completed"checkout.completed"checkout.recovered"checkout.updated","mess'
    b'aging":{"may_send":false,"reason":"no_consent"},"ended_at":"20"end_reason":"recovered""currency":"USD"},"currenc'
    b'y":"EUR"},"currency":"INR"},{"id":"evt_01","type":"checkout.abandoned","timestamp":"202-T:00Z","sequence":2,"mer'
    b'chant_id":"mer_01","do_not_send_after":"202-T:00Z","messaging":{"may_send":true,"reason":null},"data":{"checkout'
    b'":{"id":"chk_","provider":"flexype","source_id":"src_01","external_id":"","cart_id":null,"cart_type":null,"name"'
    b':null,"status":"abandoned","reason":"incomplete","stage":"address_loaded","test":false,"customer":{"id":null,"em'
    b'ail":null,"phone":"+91","first_name":null,"last_name":null,"company":null,"legal_entity_id":null,"locale":null},'
    b'"consent":{"marketing":"unknown","channels":{"email":"unknown","sms":"unknown","whatsapp":"unknown"},"source":nu'
    b'll,"at":null},"shipping_address":{"first_name":null,"last_name":null,"company":null,"phone":null,"address1":"","'
    b'address2":null,"city":"","postal_code":"","province":"","province_code":"","country":"India","country_code":"IN"'
    b'},"billing_address":null,"items":[{"id":null,"product_id":"","variant_id":"","sku":null,"title":"","variant_titl'
    b'e":null,"handle":"","quantity":1,"unit_price":{"amount":".00","currency":"INR"},"compare_at_price":{"amount":".0'
    b'0","currency":"INR"},"total":{"amount":".00","currency":"INR"},"image_url":"https://cdn.shopify.com/s/files/1/",'
    b'"product_url":null,"attributes":{}}],"item_count":1,"totals":{"subtotal":{"amount":".00","currency":"INR"},"disc'
    b'ount":{"amount":"0.00","currency":"INR"},"shipping":null,"tax":null,"duties":null,"total":{"amount":".00","curre'
    b'ncy":"INR"},"tax_included":null},"shop_totals":null,"tax_lines":[],"currency_assumed":true,"discount_codes":[],"'
    b'checkout_url":"https://","recovery_url":"https:///r/AQ","attribution":{"utm_source":"","utm_medium":"","utm_camp'
    b'aign":"","utm_content":"","utm_term":"","landing_page":"/","referrer":"https://www.google.com"},"note":null,"att'
    b'ributes":{},"created_at":"202-T:00Z","updated_at":"202-T:00Z","started_at":"202-T:00Z","last_activity_at":"202-T'
    b':00Z","abandoned_at":"202-T:00Z","completed_at":null,"expires_at":null,"order":null,"activities_count":0},"episo'
    b'de":{"id":"epi_01","status":"active","anchor":"202-T:00Z","started_at":"202-T:00Z","ended_at":null,"end_reason":'
    b"null}}}"
)


def pack(body: bytes) -> bytes:
    """The bytes to keep: the same body makes the same."""
    deflate = zlib.compressobj(9, wbits=-15, zdict=_DICTIONARY)
    return _VERSION + deflate.compress(body) + deflate.flush()


def unpack(packed: bytes) -> bytes:
    """The body. Raises zlib.error for what is none."""
    if not packed.startswith(_VERSION):
        return zlib.decompress(packed)
    inflate = zlib.decompressobj(wbits=-15, zdict=_DICTIONARY)
    return inflate.decompress(packed[1:]) + inflate.flush()
