"""Signatures of thinking."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.turn.signature import Signer

OURS = Signer(b"key", "wrkspc_a")


@given(st.text())
def test_what_was_signed_is_ours(thinking: str):
    assert OURS.open(thinking, OURS.sign(thinking)) == ("ours", thinking)


@given(st.text())
def test_what_was_sealed_comes_back_out_of_its_signature(thinking: str):
    assert OURS.open("", OURS.seal(thinking)) == ("ours", thinking)


@given(st.text(), st.text())
def test_another_text_is_changed(thinking: str, other: str):
    expected = "ours" if thinking == other else "changed"
    assert OURS.open(other, OURS.sign(thinking)).origin == expected


@pytest.mark.parametrize("other", [Signer(b"other", "wrkspc_a"), Signer(b"key", "wrkspc_b")], ids=["key", "workspace"])
def test_another_key_and_another_workspace_do_not_verify(other: Signer):
    assert other.open("Hm.", OURS.sign("Hm.")) == ("changed", "")
    assert other.open("", OURS.seal("Hm.")) == ("changed", "")


def test_any_changed_byte_of_ours_is_seen():
    raw = base64.b64decode(OURS.seal("Hm, let me think."))
    for index in range(3, len(raw)):
        changed = raw[:index] + bytes([raw[index] ^ 1]) + raw[index + 1 :]
        opened = OURS.open("", base64.b64encode(changed).decode())
        # The last bytes are zlib's own checksum of what the signature has already verified.
        assert opened.origin == "changed" or opened.thinking == "Hm, let me think."


@pytest.mark.parametrize("signature", ["", "c2ln", "no base64!", "YXAx", base64.b64encode(b"other" * 20).decode(), "é"])
def test_what_we_never_signed_is_foreign_and_says_nothing(signature: str):
    assert OURS.open("Hm.", signature) == ("foreign", "")


@given(st.text(), st.text())
def test_nothing_that_comes_back_breaks_it(thinking: str, signature: str):
    OURS.open(thinking, signature)
    OURS.open(thinking, base64.b64encode(b"ap1" + signature.encode()).decode())
