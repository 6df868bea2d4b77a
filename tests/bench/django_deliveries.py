"""PyPI's ``django-outbound-webhooks`` making the deliveries of ``tests.bench.deliveries``, by itself.

Its input is JSON by line: first ``folder`` for its database, the ``urls`` of the endpoints and a ``text`` that each
delivery carries, then plans: of each delivery the seconds after the beginning and its endpoint. It prints for each plan
what was fired (its number, when, on the clock that all processes of a machine share, and its endpoint), and ends with
its input. One process fires, another relays: one relay, as SQLite allows no more; each setting is the library's own.
"""

import base64
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import make_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any


def _django(folder: str) -> None:
    import_module("django.conf").settings.configure(
        SECRET_KEY="bench",
        USE_TZ=True,
        INSTALLED_APPS=[
            *("django.contrib.contenttypes", "django.contrib.auth"),
            *("django_domain_events", "django_outbound_webhooks"),
        ],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(Path(folder) / "db.sqlite3"),
                "OPTIONS": {
                    "timeout": 20,
                    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
                },
            }
        },
        DJANGO_OUTBOUND_WEBHOOKS={"ALLOW_PRIVATE_ADDRESSES": True},
    )
    import_module("django").setup()


def _events(count: int) -> list[Any]:
    """An event for each endpoint, so that each hears of its own alone."""
    declared = import_module("django_domain_events").event
    made = [make_dataclass(f"Told{own}", [("number", str), ("text", str)], frozen=True) for own in range(count)]
    return [declared(name=f"bench.Told{own}")(kind) for own, kind in enumerate(made)]


def relay(folder: str, endpoints: int) -> None:
    """Deliver until ended."""
    _django(folder)
    _events(endpoints)
    run = import_module("django_domain_events.delivery.run_relay").run_relay
    run(worker_id="bench", allow_unsafe_concurrency=True)


def fire(given: dict[str, Any]) -> None:
    """Register the endpoints, start the relay, and fire as is planned."""
    _django(given["folder"])
    import_module("django.core.management").call_command("migrate", verbosity=0)
    kinds = _events(len(given["urls"]))
    register = import_module("django_outbound_webhooks").register_endpoint
    secret = "whsec_" + base64.b64encode(b"b" * 24).decode()
    for own, url in enumerate(given["urls"]):
        register(name=f"endpoint {own}", url=url, secret=secret, event_names=[f"bench.Told{own}"])
    command = [sys.executable, __file__, given["folder"], str(len(given["urls"]))]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as relaying:
        numbers = itertools.count()
        try:
            _fired([(0.0, 0)], kinds, given["text"], numbers)
            while not import_module("django_outbound_webhooks.models").DeliveryAttempt.objects.exists():
                time.sleep(0.1)  # the relay starts
            for line in sys.stdin:
                sys.stdout.write(json.dumps(_fired(json.loads(line), kinds, given["text"], numbers)) + "\n")
                sys.stdout.flush()
        finally:
            relaying.kill()


def _fired(
    plan: list[tuple[float, int]], kinds: list[Any], text: str, numbers: Iterator[int]
) -> list[tuple[str, float, int]]:
    database, send = import_module("django.db"), import_module("django_domain_events").fire
    atomic, busy = database.transaction.atomic, database.OperationalError
    fired, begun = [], time.monotonic()
    for seconds, endpoint in plan:
        time.sleep(max(begun + seconds - time.monotonic(), 0))
        number = f"n{next(numbers)}"
        while True:
            try:
                with atomic():
                    send(kinds[endpoint](number=number, text=text))
                break
            except busy:
                time.sleep(0.01)  # the relay writes; a delivery counts from its acceptance
        fired.append((number, time.monotonic(), endpoint))
    return fired


if __name__ == "__main__":
    if len(sys.argv) > 1:
        relay(sys.argv[1], int(sys.argv[2]))
    else:
        fire(json.loads(sys.stdin.readline()))
