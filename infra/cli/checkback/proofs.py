"""How providers prove a webhook: what a sender puts into its headers, the other half of ``shared.providers``.

A scheme of ``sending.toml``: ``secret`` (sent as it is), ``url`` (a token in the source's URL), ``hmac``, ``stripe``,
``svix`` (where the secret is one of Svix', else ``otherwise``), ``canonical`` (an HMAC of the JSON in its canonical
form), ``jwt`` (the body itself is the proof), ``source`` (as the source's settings say). With ``by_settings`` what the
source's settings say of a signature goes before.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from checkback.samples import ProviderSamples, Sample
from checkback.unfit import NoKey, Unfit

_DIGESTS = {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "sha384": hashlib.sha384, "sha512": hashlib.sha512}


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook as it is sent. ``path`` goes behind the source's URL."""

    body: bytes
    headers: Mapping[str, str]
    path: str = ""


def proved(
    samples: ProviderSamples, sample: Sample, secret: str | None, at: datetime, settings: Mapping[str, Any]
) -> Webhook:
    """A sample as its provider would send it at ``at``.

    ``secret`` is the source's (for ``jwt`` a private key, PEM), ``settings`` the source's. Raises NoKey where it is
    missing, Unfit where it cannot sign.
    """
    body, headers = prove(samples.proof, sample.body, secret, at, settings)
    header, in_path = samples.topic_place()
    if sample.topic is not None and header is not None:
        headers[header] = sample.topic
    return Webhook(body, headers | sample.headers, f"/{sample.topic}" if in_path and sample.topic else "")


def prove(
    proof: Mapping[str, Any], body: bytes, secret: str | None, at: datetime, settings: Mapping[str, Any]
) -> tuple[bytes, dict[str, str]]:
    """The body as it is sent, and the headers that prove it, by a scheme. Raises Unfit."""
    scheme = proof["scheme"]
    signature = settings.get("signature")
    if scheme == "url" or (scheme == "source" and not signature):
        return body, {"content-type": "application/json"}
    if not secret:
        raise NoKey("the source's secret is not kept here: --secret-stdin reads it")
    if scheme == "jwt":
        return _jwt(body, secret, at), {"content-type": "text/plain"}
    headers = {"content-type": "application/json"}
    said = signature if proof.get("by_settings") and signature else {}
    if "otherwise" in proof and signing_key(secret) is None:
        return prove(proof["otherwise"], body, secret, at, settings)
    match scheme:
        case "secret":
            headers[said.get("header") or proof["header"]] = proof.get("prefix", "") + secret
        case "hmac":
            headers |= _configured({"encoding": "base64", **proof, **said}, body, secret, at)
        case "canonical":
            # As its receiver will write it, so that this form is what is signed, and what is sent.
            body = json.dumps(json.loads(body), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
            headers |= _configured({"encoding": "base64", **proof}, body, secret, at)
        case "stripe":
            stamp = str(int(at.timestamp()))
            headers[proof["header"]] = f"t={stamp},v1={_mac(secret.encode(), stamp.encode() + b'.' + body).hex()}"
        case "svix":
            headers |= standard(
                body, secret, at, message_id=f"msg_{hashlib.sha256(body).hexdigest()[:24]}", prefix="svix"
            )
        case "source":
            headers |= _configured(signature or {}, body, secret, at)
        case _:
            raise Unfit(f"{scheme}: not a scheme of this version")
    return body, headers


def standard(body: bytes, secret: str, at: datetime, *, message_id: str, prefix: str = "webhook") -> dict[str, str]:
    """Headers of Standard Webhooks (``v1``). ``secret``: ``whsec_`` and base64. Raises Unfit for another."""
    key = signing_key(secret)
    if key is None:
        raise Unfit("the secret is not of the form whsec_<base64>")
    stamp = str(int(at.timestamp()))
    signed = base64.b64encode(_mac(key, f"{message_id}.{stamp}.".encode() + body)).decode()
    return {f"{prefix}-id": message_id, f"{prefix}-timestamp": stamp, f"{prefix}-signature": f"v1,{signed}"}


def signing_key(secret: str) -> bytes | None:
    """The key inside ``whsec_<base64>`` (the prefix may be missing); None for what is no such secret."""
    try:
        return base64.b64decode(secret.strip().removeprefix("whsec_"), validate=True) or None
    except ValueError:
        return None


def _configured(settings: Mapping[str, Any], body: bytes, secret: str, at: datetime) -> dict[str, str]:
    """An HMAC over parts, or the secret as it is (``plain``)."""
    algorithm = settings.get("algorithm", "sha256")
    if algorithm == "plain":
        return {settings["header"]: secret}
    unit = 1000 if settings.get("timestamp_unit") == "ms" else 1
    stamp = str(int(at.timestamp() * unit))
    headers = {settings["timestamp_header"]: stamp} if settings.get("timestamp_header") else {}
    parts = settings.get("signed_parts") or settings.get("signed") or ["body"]
    texts = {"body": body, "timestamp": stamp.encode(), f"header:{settings.get('timestamp_header')}": stamp.encode()}
    message = b"".join(texts.get(part, part.encode()) for part in parts)
    made = hmac.new(secret.encode(), message, _DIGESTS[algorithm])
    text = base64.b64encode(made.digest()).decode() if settings.get("encoding") == "base64" else made.hexdigest()
    return headers | {settings["header"]: text}


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def _jwt(body: bytes, private_key: str, at: datetime) -> bytes:
    """The claims of the body as a token, good for an hour."""
    import jwt

    issued = int(at.timestamp())
    try:
        return jwt.encode(
            json.loads(body) | {"iat": issued, "exp": issued + 3600}, private_key, algorithm="RS256"
        ).encode()
    except (ValueError, TypeError, jwt.PyJWTError) as wrong:
        raise Unfit("the private key cannot sign: an RSA key in PEM is wanted") from wrong
