"""What is kept of an event's body comes back byte for byte, also what was kept before or will be read years later."""

import hashlib
import zlib

from hypothesis import given
from hypothesis import strategies as st

from shared.store import event_body
from shared.store.event_body import pack, unpack


@given(st.binary(max_size=5_000))
def test_a_body_comes_back_as_it_was(body: bytes) -> None:
    assert unpack(pack(body)) == body
    assert pack(body) == pack(body)


@given(st.binary(max_size=500), st.integers(1, 9))
def test_what_was_kept_without_a_dictionary_is_read_as_ever(body: bytes, level: int) -> None:
    assert unpack(zlib.compress(body, level)) == body


def test_the_dictionary_never_changes() -> None:
    """Every event that was kept with it could be read no more: another dictionary is another version."""
    shipped = "8f06d6727a8b7d8b7ad4e1f3c12247db15bc3d8ab082852470668ada83850fd2"

    assert hashlib.sha256(event_body._DICTIONARY).hexdigest() == shipped
