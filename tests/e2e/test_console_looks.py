"""The console's pages as everybody has them: no text is markup, nothing is too wide, and axe finds nothing."""

from collections.abc import Callable, Iterable, Iterator
from itertools import cycle
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from infra.local.receiver import Receiver
from infra.local.shop import FlexyPeSession, Shop
from tests.e2e.browsing import AXE, Person

pytestmark = pytest.mark.e2e
expect.set_options(timeout=60_000)
HOSTILE = "<img src=x onerror=alert(1)>\u202eevil 😀 {{7*7}} " + "n" * 150
WIDTHS = (390, 1440)
HEIGHT = 844
OF_COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
"""Axe's rules that look at colours: all that a page in the dark can break which it does not in the light."""
type Scheme = Literal["light", "dark"]
ROUND: tuple[tuple[int, Scheme], ...] = ((390, "light"), (390, "dark"), (1440, "dark"), (1440, "light"))
"""How wide and in what colours a page is looked at; each differs from the one before in one thing, which is cheap."""
_LOOK = """async options => {
  const wide = document.documentElement.scrollWidth - window.innerWidth;
  const {violations, incomplete} = await axe.run(options);
  return {wide, violations, incomplete};
}"""


def looks(page: Page, around: Iterable[tuple[int, Scheme]]) -> Iterator[tuple[dict[str, Any], int, Scheme]]:
    """How many pixels too wide the page that is open is, and what axe finds on it.

    In the light that is whatever axe knows, in the dark what colours are to it.
    """
    for width, scheme in around:
        size: ViewportSize = {"width": width, "height": HEIGHT}
        if page.viewport_size != size:
            page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)
        told: dict[str, Any] = {"resultTypes": ["violations", "incomplete"]}
        yield page.evaluate(_LOOK, told if scheme == "light" else told | {"runOnly": OF_COLOURS}), width, scheme


class HostileSession(FlexyPeSession):
    """A shopper, or a provider, who writes markup wherever there is a title or a name."""

    def payload(self, stage: str) -> dict[str, Any]:
        """The vendor's own, every title hostile."""
        body: dict[str, Any] = _hostile(super().payload(stage))
        return body


class NotUnderstood(FlexyPeSession):
    """What no mapping reads, and markup all the same."""

    def payload(self, stage: str) -> dict[str, Any]:
        """Of no kind that there is."""
        return {"event_type": HOSTILE, "payload": {HOSTILE: stage}}


def _hostile(value: Any) -> Any:
    if isinstance(value, list):
        return [_hostile(own) for own in value]
    if not isinstance(value, dict):
        return value
    return {name: HOSTILE if name in {"title", "first_name", "name"} else _hostile(own) for name, own in value.items()}


def with_axe(person: Callable[..., Person], width: int) -> Person:
    """Somebody whose every page has axe. Colours that fade from light to dark are neither."""
    made = person(viewport={"width": width, "height": HEIGHT}, reduced_motion="reduce")
    made.page.add_init_script(path=AXE)
    return made


def test_every_page_is_for_everybody_and_hostile_text_is_text(
    person: Callable[..., Person], shop: Shop, receiver: Receiver
) -> None:
    shop.call("PATCH", "/v1/merchant", token=shop.token, json={"name": HOSTILE[:190].replace("\u202e", "")})
    endpoint = shop.endpoint(f"{receiver.url}/bsp", ["checkout.abandoned"], name="<b onclick=alert(1)>bold")
    source = shop.source(name=HOSTILE[:190].replace("\u202e", ""))
    session = HostileSession(shop, source, "9820012302")
    checkout = session.post("ADDRESS_LOADED").json()["checkout_id"]
    step = {"after": "PT1H", "endpoint_id": endpoint["id"]}
    campaign = {"name": "<svg onload=alert(1)>", "steps": [step]}
    written = shop.call("POST", "/v1/campaigns", token=shop.token, json=campaign)
    tested = shop.call("POST", f"/v1/endpoints/{endpoint['id']}/test", token=shop.token)
    paths = ["/sign-in", "/sign-in/operator", "", "/start", "/checkouts", f"/checkouts/{checkout}", "/deliveries"]
    paths += [f"/deliveries/{tested['id']}", "/endpoints", f"/endpoints/{endpoint['id']}", "/campaigns", "/nowhere"]
    kept = NotUnderstood(shop, source, "9820012302").post("UNKNOWN").json()["quarantine_id"]
    shop.call("POST", "/v1/suppressions", token=shop.token, json={"email": "asha@tea.example"})
    shop.call("POST", "/v1/tokens", token=shop.token, json={"name": "<b onclick=alert(1)>bold"})
    paths += ["/settings", "/settings/tokens", "/settings/suppressions", "/settings/privacy"]
    pool = shop.call("POST", "/v1/coupon-pools", token=shop.token, json={"name": "<b onclick=alert(1)>bold"})
    paths += ["/health", "/settings/coupons", f"/settings/coupons/{pool['id']}"]
    paths += ["/quarantine", f"/quarantine/{kept}?body=shown"]
    paths += ["/sources", f"/sources/{source['id']}", f"/sources/{source['id']}/change"]
    paths += ["/sources/new", "/sources/new/razorpay"]
    paths += [f"/campaigns/{written['id']}", f"/campaigns/{written['id']}/change", "/campaigns/quiet-hours"]
    paths += ["/campaigns/new", "/campaigns/new?template=discount"]
    paths += [f"/endpoints/{endpoint['id']}/change", f"/endpoints/{endpoint['id']}/template"]
    paths += [f"/endpoints/{endpoint['id']}?tested={tested['id']}", "/endpoints/new", "/endpoints/new/ses"]
    tried = shop.call("POST", f"/v1/sources/{source['id']}/sample", token=shop.token)["checkout_id"]
    paths += [f"/sources/{source['id']}/sample", f"/start?checkout={tried}", f"/checkouts/{tried}"]
    own = shop.call("POST", "/v1/sources", token=shop.token, json={"provider": "custom"})
    paths.append(f"/sources/{own['id']}")
    found: list[str] = []
    somebody = with_axe(person, WIDTHS[0])
    somebody.sign_in(shop.token)
    # Forth and back: every other page comes narrow, the others wide.
    for path, around in zip(paths, cycle((ROUND, ROUND[::-1]))):
        somebody.open(path)
        assert somebody.page.evaluate("document.querySelectorAll('img, [onclick], [onload], [onerror]').length") == 0
        for looked, width, scheme in looks(somebody.page, around):
            at = f"{path} {width} {scheme}"
            if looked["wide"] > 0:
                found.append(f"{at}: {looked['wide']} px too wide")
            # Text in the very colour of its ground is only doubtful to axe: it may be meant so.
            unseen = [own for own in looked["incomplete"] if "equalRatio" in str(own["nodes"])]
            found += [f"{at}: {own['id']} {own['nodes'][0]['html'][:160]}" for own in (*looked["violations"], *unseen)]
    assert found == []


def test_the_operator_sees_how_the_stage_fares_and_what_to_do(
    person: Callable[..., Person], stack: dict[str, Any]
) -> None:
    for width in WIDTHS:
        operator = with_axe(person, width)
        operator.sign_in_as_operator(stack["admin_key"])
        operator.page.get_by_role("link", name="Stage", exact=True).click()
        expect(operator.page.get_by_role("heading", name="Waiting for a person")).to_be_visible()
        expect(operator.page.get_by_text("Not known now")).to_have_count(0)
        for path in ("/operator/stage", "/operator/runbook/sweeplate"):
            operator.open(path)
            for looked, _, _ in looks(operator.page, [own for own in ROUND if own[0] == width]):
                assert looked["wide"] <= 0
                assert looked["violations"] == []
        operator.open("/operator/stage")
        operator.page.get_by_role("link", name="missed schedules").click()
        expect(operator.page.get_by_role("heading", name="MissedSchedules")).to_be_visible()
