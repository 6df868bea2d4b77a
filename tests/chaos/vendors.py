"""Stand-ins for merchants' endpoints and BSPs: one HTTP server whose every answer the seed decides.

They fail, are busy, hang, hang up, answer byte by byte, and lie. What matters is kept of each request: when it came,
what it was about, and whether the stand-in took it, that is to say, sent a message on. A vendor that takes a message
and then hangs up has sent it: nobody may hand it over once more.
"""

import hashlib
import json
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any, Self
from urllib.parse import parse_qs

from tests.chaos.books import Received

HANG_SECONDS = 3.0
"""Longer than the quick lane waits for anybody, and than the send kinds' endpoints are given."""


class Mood(StrEnum):
    """How a stand-in answers one request."""

    WELL = "well"
    BUSY = "429 with Retry-After"
    FAILS = "503"
    HANGS = "hangs"
    HANGS_UP = "hangs up without an answer"
    DRIPS = "answers byte by byte"
    BREAKS_OFF = "breaks its answer off"
    REPEATS_ID = "lies: another message's id"
    BABBLES = "lies: 200 and no sense"

    @property
    def takes(self) -> bool:
        """Whether the message is on its way all the same."""
        return self not in {Mood.BUSY, Mood.FAILS}


MOODS = {
    "feed": {Mood.WELL: 70, Mood.BUSY: 5, Mood.FAILS: 10, Mood.HANGS: 2, Mood.HANGS_UP: 6, Mood.DRIPS: 4}
    | {Mood.BREAKS_OFF: 3},
    "send": {Mood.WELL: 60, Mood.BUSY: 10, Mood.FAILS: 4, Mood.HANGS: 3, Mood.HANGS_UP: 5, Mood.DRIPS: 5}
    | {Mood.BREAKS_OFF: 3, Mood.REPEATS_ID: 6, Mood.BABBLES: 4},
}
"""How often, in percent, by role. The feed's moods are those of any web server."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request; ``key``: what a repeat of it has in common with it."""

    key: str
    about: Received


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: who asked was killed, and its connection with it."""


class Vendors:
    """The server; a context manager. Paths are ``/{role}/{name}/...``, role ``feed`` or ``send``."""

    def __init__(self, seed: int) -> None:
        """``seed`` decides every answer, by what is asked and the how-manieth time."""
        self.calm = False
        self._seed = seed
        self._lock = threading.Lock()
        self._received: list[Received] = []
        self._asked: Counter[str] = Counter()
        self._unmet = {role: Random(f"{seed} {role}").sample(list(own), len(own)) for role, own in MOODS.items()}
        self._server = _Server(("127.0.0.1", 0), _handler_of(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def received(self) -> list[Received]:
        """Everything that came, in order."""
        with self._lock:
            return list(self._received)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _mood(self, asked: _Asked) -> Mood:
        """By seed, message and attempt; a later attempt at the feed goes well, a later one at a BSP may not.

        Whoever comes first meets each mood once, so that a short run meets them all.
        """
        with self._lock:
            self._asked[asked.key] += 1
            attempt = self._asked[asked.key]
            unmet = self._unmet[asked.about.role]
            if attempt == 1 and unmet and not self.calm:
                return unmet.pop()
        if self.calm or (asked.about.role == "feed" and attempt > 2):
            return Mood.WELL
        moods = MOODS[asked.about.role]
        drawn = Random(f"{self._seed} {asked.key} {attempt}")
        return drawn.choices(list(moods), list(moods.values()))[0]

    def asked(self, asked: _Asked) -> Mood:
        """Note what was asked; how it is answered."""
        mood = self._mood(asked)
        with self._lock:
            self._received.append(replace(asked.about, taken=mood.takes, mood=mood.value))
        return mood


def _handler_of(vendors: Vendors) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        stand_ins = vendors

    return Handler


class _Handler(BaseHTTPRequestHandler):
    """One request, answered in its mood."""

    protocol_version = "HTTP/1.1"
    stand_ins: Vendors

    def do_POST(self) -> None:
        at = time.time()
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        asked = _read(self.path, self.headers.get("content-type", ""), body, at)
        mood = self.stand_ins.asked(asked)
        with suppress(OSError):  # who asked did not wait
            self._answer(asked, mood)

    def _answer(self, asked: _Asked, mood: Mood) -> None:
        match mood:
            case Mood.BUSY:
                self._send(429, b"{}", {"retry-after": "1"})
            case Mood.FAILS:
                self._send(503, b"{}")
            case Mood.HANGS:
                time.sleep(HANG_SECONDS)
                self._send(200, _accepted(asked))
            case Mood.HANGS_UP:
                self._hang_up()
            case Mood.DRIPS:
                self._drip(_accepted(asked))
            case Mood.BREAKS_OFF:
                self._break_off(_accepted(asked))
            case Mood.REPEATS_ID:
                self._send(200, _accepted(asked, "the-same-for-all"))
            case Mood.BABBLES:
                self._send(200, b"<html>Welcome!</html>")
            case _:
                self._send(200, _accepted(asked))

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"content-type": "application/json"} | (headers or {})).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @staticmethod
    def _head(body: bytes) -> bytes:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        return head.encode()

    def _drip(self, body: bytes) -> None:
        for byte in self._head(body) + body:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(0.005)

    def _break_off(self, body: bytes) -> None:
        self.wfile.write(self._head(body) + body[: len(body) // 2])
        self._hang_up()

    def _hang_up(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name upstream
        """Nothing: what came is in the books."""


def _read(path: str, content_type: str, body: bytes, at: float) -> _Asked:
    """What a request is about, in the form that its kind of endpoint sends."""
    _, role, name, *_ = path.split("/")
    if role == "feed":
        return _event(name, body, at)
    told = _form(body) if "form" in content_type else json.loads(body)
    phone, template = _message(told)
    step = int(template.removeprefix("step_"))
    return _Asked(f"{name} {phone} {step}", Received(at, role, name, phone=phone, step=step))


def _event(name: str, body: bytes, at: float) -> _Asked:
    event = json.loads(body)
    checkout: dict[str, Any] = event["data"].get("checkout") or {}
    about = Received(
        at=at,
        role="feed",
        name=name,
        event_id=event["id"],
        event_type=event["type"],
        checkout_id=checkout.get("id"),
        phone=(checkout.get("customer") or {}).get("phone"),
        step=(event["data"].get("step") or {}).get("index"),
    )
    return _Asked(f"{name} {event['id']}", about)


def _form(body: bytes) -> dict[str, Any]:
    fields = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    return {"destination": fields["destination"], "template": json.loads(fields["template"])}


def _message(told: dict[str, Any]) -> tuple[str, str]:
    """The recipient in E.164 and the template: Gupshup's form, AiSensy's or Meta's."""
    if "campaignName" in told:
        return told["destination"], told["campaignName"]
    if "destination" in told:
        return f"+{told['destination']}", told["template"]["id"]
    return f"+{told['to']}", told["template"]["name"]


def _accepted(asked: _Asked, message_id: str | None = None) -> bytes:
    """An answer that every kind of ours takes for its vendor's own."""
    own = message_id or hashlib.sha256(asked.key.encode()).hexdigest()[:20]
    plain = {
        "status": "submitted",
        "messageId": own,
        "success": "true",
        "submitted_message_id": own,
        "messaging_product": "whatsapp",
        "messages": [{"id": own}],
    }
    return json.dumps(plain).encode()
