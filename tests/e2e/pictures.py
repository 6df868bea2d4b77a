"""``make pictures``: the demo's story is played, and each page of the console photographed on it."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from infra.local import demo
from infra.local.engine import PROJECT
from infra.local.receiver import Receiver
from infra.local.shop import Shop
from tests.e2e.browsing import Person, opened_browser, picture, pictures

FOLDER = PROJECT / "docs" / "console"
_TEMPLATE = """{
  "to": {{ customer.phone | json }},
  "cart": {{ items[0].title | json }},
  "link": {{ recovery_url | json }}
}"""
_WIDE = {"width": 1200, "height": 800}
_NARROW = {"width": 390, "height": 844}


class PlayedShop(Shop):
    """The demo's shop, remembered for whoever looks on."""

    played: list[Shop]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """As any shop."""
        super().__init__(*arguments, **named)
        type(self).played.append(self)


def main() -> int:
    """Play and photograph on the stack in ``LOCAL_DIR``; 0 when the story was seen and nothing went wrong in a page."""
    stack = json.loads((Path(os.environ["LOCAL_DIR"]) / "stack.json").read_text())
    PlayedShop.played = []
    vars(demo)["Shop"] = PlayedShop  # whose token the demo keeps to itself
    with Receiver() as receiver:
        if demo.play(stack, receiver, print) != 0:
            return 1
    (shop,) = PlayedShop.played
    checkout = shop.call("GET", "/v1/checkouts?status=abandoned")["data"][0]["id"]
    delivery = shop.call("GET", f"/v1/deliveries?checkout_id={checkout}")["data"][0]
    pages = {
        "overview": "",
        "start": "/start",
        "checkouts": "/checkouts",
        "checkout": f"/checkouts/{checkout}",
        "deliveries": "/deliveries",
        "delivery": f"/deliveries/{delivery['id']}",
        "endpoints": "/endpoints",
        "endpoint": f"/endpoints/{delivery['endpoint_id']}",
        "campaigns": "/campaigns",
        "new-campaign": "/campaigns/new?template=reminder",
        "sources": "/sources",
        "connect": "/sources/new/flexype",
        "quarantine": "/quarantine",
        "health": "/health",
        "settings": "/settings",
        "suppressions": "/settings/suppressions",
    }
    with opened_browser() as browser:
        looking = Person(browser, stack["api_url"], viewport=_WIDE)
        looking.open("/sign-in")
        looking.page.screenshot(path=FOLDER / "sign-in.png")
        looking.sign_in(shop.token)
        pictures(FOLDER, looking, pages)
        looking.open(f"/endpoints/{delivery['endpoint_id']}/template")
        with looking.page.expect_response("**/template"):  # shown anew while it is written
            looking.page.locator("textarea").fill(_TEMPLATE)
        picture(FOLDER, looking, "template")
        in_hand = Person(browser, stack["api_url"], viewport=_NARROW, color_scheme="dark")
        in_hand.sign_in(shop.token)
        pictures(FOLDER, in_hand, {"checkout-dark-narrow": pages["checkout"]})
        operator = Person(browser, stack["api_url"], viewport=_WIDE)
        operator.sign_in_as_operator(stack["admin_key"])
        pictures(FOLDER, operator, {"operator": "/operator", "stage": "/operator/stage"})
        wrong = looking.wrong + in_hand.wrong + operator.wrong
    print(*wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
