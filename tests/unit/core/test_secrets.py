"""The form in which keys are stored."""

import hmac

from hypothesis import given
from hypothesis import strategies as st

from antiphon.core.secrets import digest


@given(st.binary(max_size=200), st.text(st.characters(codec="utf-8"), max_size=200))
def test_a_digest_is_the_standard_librarys_hmac(pepper: bytes, key: str):
    assert digest(pepper, key) == hmac.digest(pepper, key.encode(), "sha256").hex()


def test_a_key_may_be_no_text_at_all():
    assert digest(b"pepper", "\udcff") == hmac.digest(b"pepper", b"\xff", "sha256").hex()
