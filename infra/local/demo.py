"""``make demo``: three shoppers at a FlexyPe checkout, played through the public URLs of the deployed stack.

One goes quiet, one comes back and buys after being called abandoned, one buys at once. Every step is printed when it
is seen, not when it is hoped for; the exit code is 0 only if all of it was seen.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from infra.local.__main__ import down, up
from infra.local.engine import PROJECT
from infra.local.receiver import Receiver
from infra.local.shop import FlexyPeSession, Shop

_WIDTH = 100
_EVENT_TYPES = ["checkout.abandoned", "checkout.recovered", "checkout.completed"]


class Story:
    """Prints what happens and remembers what was not as it should be."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """``say`` prints a line."""
        self._say = say
        self._started = time.monotonic()
        self.failures: list[str] = []

    def tell(self, text: str) -> None:
        """One line of the story, with the seconds since it began."""
        self._say(f"{time.monotonic() - self._started:6.1f}s  {text}")

    def expect(self, text: str, seen: bool) -> bool:
        """A step that must have been seen."""
        self.tell(f"{'ok ' if seen else 'NOT SEEN '} {text}")
        if not seen:
            self.failures.append(text)
        return seen


def main() -> int:
    """Start what is missing, play the story, stop the engine; 0 when all of it was seen.

    With ``KEEP`` set the engine stays, and the last line opens the console on what was played.
    """
    kept = bool(os.environ.get("KEEP"))
    folder = (PROJECT / os.environ.get("LOCAL_DIR", ".local-demo")).resolve()
    if up(folder) != 0:
        return 1
    try:
        stack = json.loads((folder / "stack.json").read_text())
        with Receiver() as receiver:
            return play(stack, receiver, lambda line: print(line, flush=True), kept=kept)
    finally:
        if not kept:
            down(folder)


def play(stack: dict[str, Any], receiver: Receiver, say: Callable[[str], None], *, kept: bool = False) -> int:
    """The story on a running stack; ``kept``: it runs on, and a link into its console is worth saying."""
    story = Story(say)
    say(f"\nCheckback at {stack['api_url']}\n")
    shop = Shop(stack)
    story.tell(f"merchant {shop.id} registered; a checkout counts as abandoned after 2 s without activity")
    source = shop.source()
    story.tell(f"FlexyPe source {source['id']} registered: webhooks go to {source['url']}")
    endpoint = shop.endpoint(f"{receiver.url}/bsp", _EVENT_TYPES)
    receiver.secret = endpoint["signing_secret"]
    story.tell(f"endpoint {endpoint['id']} registered: signed events go to {receiver.url}/bsp")

    quiet = FlexyPeSession(shop, source, "9820012301")
    returning = FlexyPeSession(shop, source, "9820012302")
    decided = FlexyPeSession(shop, source, "9820012303")
    say("")
    refused = quiet.post("PHONE_ENTERED", secret="not-the-secret")  # noqa: S106 - the point of it
    story.expect(f"a webhook with a wrong secret is refused: {refused.status_code}", refused.status_code == 401)
    quiet_id = _posted(story, quiet, "PHONE_ENTERED", "quiet shopper", "accepted")
    _posted(story, quiet, "ADDRESS_LOADED", "quiet shopper", "accepted")
    _posted(story, quiet, "ADDRESS_LOADED", "the same webhook again", "duplicate")
    _posted(story, quiet, "OTP_VERIFIED", "an earlier stage, late", "accepted")
    stage = shop.checkout(quiet_id)["stage"]
    story.expect(f"the late webhook changed nothing: the stage is still {stage}", stage == "address_loaded")
    returning_id = _posted(story, returning, "ADDRESS_LOADED", "returning shopper", "accepted")
    decided_id = _posted(story, decided, "ADDRESS_LOADED", "decided shopper", "accepted")
    _posted(story, decided, "COMPLETED", "decided shopper buys at once", "accepted")

    say("")
    time.sleep(2.5)
    story.tell(f"two seconds of silence; sweep: {shop.sweep()['outcomes']}")
    for name, checkout_id in (("quiet", quiet_id), ("returning", returning_id)):
        _delivered(story, receiver, "checkout.abandoned", checkout_id, f"{name} shopper's checkout")
    _posted(story, returning, "COMPLETED", "returning shopper buys after all", "accepted")
    _delivered(story, receiver, "checkout.recovered", returning_id, "returning shopper's checkout")
    _delivered(story, receiver, "checkout.completed", decided_id, "decided shopper's checkout")
    _posted(story, returning, "PAYMENT_LOADED", "a webhook from before the purchase, late", "accepted")
    story.tell(f"sweep again: {shop.sweep()['outcomes']}")
    time.sleep(1)

    say("")
    link = shop.checkout(quiet_id)["recovery_url"]
    answer = shop.http.get(link, headers={"user-agent": "Mozilla/5.0 (Linux; Android 15) Chrome/142"})
    story.expect(
        f"the recovery link leads back: {answer.status_code} to {answer.headers.get('location', '')[:60]}...",
        answer.status_code == 302 and f"flx_s={quiet.id}" in answer.headers.get("location", ""),
    )
    ids = {"quiet": quiet_id, "returning": returning_id, "decided": decided_id}
    wanted = {"quiet": "abandoned", "returning": "recovered", "decided": "completed"}
    _table(story, say, shop, receiver, ids, wanted)
    say("")
    if story.failures:
        say(f"{len(story.failures)} not seen: " + "; ".join(story.failures))
        return 1
    say("All of it was seen.")
    say(_way_in(shop) if kept else "KEEP=1 make demo leaves it running, and ends with a link into the console.")
    return 0


def _way_in(shop: Shop) -> str:
    """A link into the console on what was played."""
    link = shop.call("POST", "/v1/portal-links", json={"capabilities": ["all"]})["url"]
    return f"The console on all of it (once, within ten minutes): {link}\nEnd it: make local-stop LOCAL_DIR=.local-demo"


def _posted(story: Story, session: FlexyPeSession, stage: str, who: str, status: str) -> str:
    answer = session.post(stage)
    told = answer.json()
    story.expect(
        f"{who}: {stage} -> {answer.status_code} {told.get('status')}",
        answer.status_code == 200 and told.get("status") == status,
    )
    return str(told.get("checkout_id"))


def _delivered(story: Story, receiver: Receiver, event_type: str, checkout_id: str, what: str) -> None:
    received = receiver.wait_for(event_type, checkout_id)
    verified = received is not None and received.verified
    story.expect(f"{event_type} received for the {what}, signature verified", verified)


def _table(
    story: Story,
    say: Callable[[str], None],
    shop: Shop,
    receiver: Receiver,
    ids: dict[str, str],
    wanted: dict[str, str],
) -> None:
    """What the API and the receiver say in the end, one row a shopper."""
    say("\n" + "-" * _WIDTH)
    say(f"{'shopper':<11}{'status':<12}{'total':<14}{'received at the endpoint (signature verified)'}")
    say("-" * _WIDTH)
    told = {
        "quiet": ["checkout.abandoned"],
        "returning": ["checkout.abandoned", "checkout.recovered"],
        "decided": ["checkout.completed"],
    }
    for name, checkout_id in ids.items():
        checkout = shop.checkout(checkout_id)
        total = checkout["totals"]["total"]
        events = receiver.events(checkout_id=checkout_id)
        shown = ", ".join(f"{own.event['type']} ({'yes' if own.verified else 'NO'})" for own in events)
        say(f"{name:<11}{checkout['status']:<12}{total['amount'] + ' ' + total['currency']:<14}{shown}")
        if checkout["status"] != wanted[name]:
            story.failures.append(f"{name}: status {checkout['status']}")
        if [own.event["type"] for own in events] != told[name] or not all(own.verified for own in events):
            story.failures.append(f"{name}: received {shown}")
    say("-" * _WIDTH)


if __name__ == "__main__":
    sys.exit(main())
