"""A step's recovery link applies its coupon where the provider's links can."""

from shared.domain.coupon import SHOPIFY_DISCOUNT
from shared.providers import registry
from shared.workflows.insight.follow_link import destination
from tests.integration.shop import Shop


def test_a_shopify_link_applies_the_code_and_leads_on_to_the_checkout(shop: Shop) -> None:
    shop.abandon()
    link = destination(shop.checkout(), shop.merchant, shop.now, "BACK10", SHOPIFY_DISCOUNT)
    assert link is not None
    assert link.startswith("https://flexype.myshopify.com/discount/BACK10?redirect=%2F%3Fflx_s%3D")


def test_a_provider_whose_links_apply_nothing_leaves_the_code_to_the_message(shop: Shop) -> None:
    shop.abandon()
    plain = destination(shop.checkout(), shop.merchant, shop.now)
    assert destination(shop.checkout(), shop.merchant, shop.now, "BACK10", registry.coupon_link("flexype")) == plain
    assert registry.coupon_link("shopify") == SHOPIFY_DISCOUNT
    assert registry.coupon_link("nobody").path is None
