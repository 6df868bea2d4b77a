"""A token counts where PyJWT takes it for one that the key signed with RS256, and nowhere else."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from shared.providers.jws import WrongToken, verified

PRIVATE = generate_private_key(65_537, 2_048)
PUBLIC = PRIVATE.public_key()
OTHER = generate_private_key(65_537, 2_048).public_key()


def segment(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def signed(header: bytes, payload: bytes) -> bytes:
    told = segment(header) + b"." + segment(payload)
    return told + b"." + segment(PRIVATE.sign(told, PKCS1v15(), SHA256()))


def taken(token: bytes) -> bytes | None:
    try:
        return verified(token, PUBLIC)
    except WrongToken:
        return None


def taken_by_pyjwt(token: bytes) -> bytes | None:
    try:
        payload: bytes = jwt.PyJWS().decode(token, PUBLIC, algorithms=["RS256"])
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return payload


@given(st.binary(max_size=60))
def test_what_the_key_signed_is_given_back(payload: bytes) -> None:
    token = signed(b'{"alg":"RS256","typ":"JWT","kid":"1"}', payload)

    assert taken(token) == taken_by_pyjwt(token) == payload
    with pytest.raises(WrongToken):
        verified(token, OTHER)


@given(st.data())
def test_a_token_of_which_anything_was_changed_is_judged_as_by_pyjwt(data: st.DataObject) -> None:
    token = signed(b'{"alg":"RS256"}', b'{"data":"{}"}')
    at = data.draw(st.integers(0, len(token) - 1))
    new = data.draw(st.sampled_from([b"", b"A", b"-", b"+", b"/", b".", b"=", b"\n", b" ", b"\xff", b"=="]))
    changed = token[:at] + new + token[at + data.draw(st.integers(0, 2)) :]

    # Padding after a part PyJWT takes and we do not: no provider writes it.
    assert taken(changed) == taken_by_pyjwt(changed) or b"=" in changed


@pytest.mark.parametrize(
    "header",
    [
        *({"alg": other} for other in ("none", "HS256", "RS384", "RS512", "PS256", "rs256", "", None, 1, ["RS256"])),
        *({}, {"alg": "RS256", "crit": ["exp"], "exp": 1}, {"alg": "RS256", "crit": []}),
        *({"alg": "RS256", "b64": False, "crit": ["b64"]}, {"alg": "RS256", "b64": False}),
    ],
    ids=str,
)
def test_another_algorithm_or_an_extension_is_refused_whoever_signed(header: Mapping[str, Any]) -> None:
    token = signed(json.dumps(header).encode(), b"{}")

    assert taken(token) is None


@pytest.mark.parametrize("header", [b"", b"{", b"[]", b'"RS256"', b"\xff", b"[" * 100_000], ids=repr)
def test_a_header_that_is_no_object_is_refused(header: bytes) -> None:
    assert taken(signed(header, b"{}")) is None


@pytest.mark.parametrize(
    "token", [b"", b".", b"..", b"a.b", b"a.b.c.d", b"A.A.A", b"....", b"e30.e30.", b"\xff.\xff.\xff"]
)
def test_what_is_no_token_is_refused(token: bytes) -> None:
    assert taken(token) is None
