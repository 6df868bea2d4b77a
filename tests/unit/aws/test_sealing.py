"""What a data key seals opens for its owner alone, and only as it was sealed."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.aws.sealing import MAGIC, SealBroken, seal, unseal, version_of

KEY = bytes(range(32))
texts = st.binary(max_size=4096)
names = st.text(max_size=20)
versions = st.integers(1, 2**32 - 1)


@given(texts, versions, names, names)
def test_whatever_is_sealed_comes_back_for_its_owner(text: bytes, version: int, merchant: str, owner: str) -> None:
    sealed = seal(text, version, KEY, merchant, owner)

    assert sealed.startswith(MAGIC)
    assert version_of(sealed) == version
    assert unseal(sealed, KEY, merchant, owner) == text
    assert len(sealed) == len(text) + 36


@given(names, names, names, names)
def test_no_other_pair_of_merchant_and_owner_opens_it(merchant: str, owner: str, other: str, another: str) -> None:
    assume((merchant, owner) != (other, another))
    sealed = seal(b"secret", 1, KEY, merchant, owner)

    with pytest.raises(SealBroken):
        unseal(sealed, KEY, other, another)


def test_what_belongs_to_the_merchants_name_cannot_be_taken_for_the_owners() -> None:
    sealed = seal(b"secret", 1, KEY, "mer_1", "src_12")

    for merchant, owner in (("mer_1s", "rc_12"), ("mer_", "1src_12"), ("", "mer_1src_12"), ("src_12", "mer_1")):
        with pytest.raises(SealBroken):
            unseal(sealed, KEY, merchant, owner)


def test_not_one_bit_of_it_may_change_its_version_included() -> None:
    sealed = seal(b"secret", 7, KEY, "mer_1", "src_1")

    for bit in range(len(MAGIC) * 8, len(sealed) * 8):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealBroken):
            unseal(bytes(changed), KEY, "mer_1", "src_1")


def test_cut_anywhere_it_opens_no_more() -> None:
    text = b"secret"
    sealed = seal(text, 7, KEY, "mer_1", "src_1")

    for length in range(len(MAGIC), len(sealed) - len(text)):
        with pytest.raises(SealBroken):
            version_of(sealed[:length])
    for length in range(len(sealed) - len(text), len(sealed)):
        with pytest.raises(SealBroken):
            unseal(sealed[:length], KEY, "mer_1", "src_1")


def test_another_key_does_not_open_it() -> None:
    sealed = seal(b"secret", 1, KEY, "mer_1", "src_1")

    with pytest.raises(SealBroken):
        unseal(sealed, bytes(32), "mer_1", "src_1")


def test_equal_texts_do_not_look_alike() -> None:
    assert len({seal(b"secret", 1, KEY, "mer_1", "src_1") for _ in range(100)}) == 100
