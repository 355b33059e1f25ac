"""Versions, betas and charsets."""

import pytest

from antiphon.core.errors import ApiError
from antiphon.wire import betas, versions
from antiphon.wire.decode import transcode
from antiphon.wire.versions import Version


@pytest.mark.parametrize(("value", "version"), [("2023-06-01", "2023-06-01"), (" 2026-10-21 ", "2026-10-21")])
def test_a_version_is_named_by_its_header(value: str, version: str) -> None:
    assert versions.from_header(value) is Version(version)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "anthropic-version: header is required"),
        ("", 'anthropic-version: "" is not a valid version'),
        ("2025-01-01", 'anthropic-version: "2025-01-01" is not a valid version'),
        ("bedrock-2023-05-31", 'anthropic-version: "bedrock-2023-05-31" is not a valid version'),
    ],
)
def test_a_wrong_version_is_told(value: str | None, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        versions.from_header(value)
    assert caught.value.message == message
    assert caught.value.kind.status == 400


@pytest.mark.parametrize("value", ["bedrock-2023-05-31", "vertex-2023-10-16", "2023-06-01"])
def test_a_cloud_names_the_older_version_its_own_way(value: str) -> None:
    assert versions.from_cloud_body(value) is Version.V2023_06_01
    assert versions.from_cloud_body("2026-10-21") is Version.V2026_10_21


def test_a_cloud_body_needs_its_version() -> None:
    with pytest.raises(ApiError, match=r"^anthropic_version: Field required$"):
        versions.from_cloud_body(None)


def test_betas_are_a_comma_list_that_may_be_repeated() -> None:
    assert betas.from_header(None) == frozenset()
    assert betas.from_header("a, b,,a") == {"a", "b"}
    assert betas.from_header(["a,b", "c"]) == {"a", "b", "c"}


def test_strict_refuses_unknown_betas() -> None:
    known = "files-api-2025-04-14,claude-code-20250219"
    assert len(betas.from_header(known, strict=True)) == 2
    with pytest.raises(ApiError) as caught:
        betas.from_header([known, "x,y", "x"], strict=True)
    assert caught.value.message == (
        "Unexpected value(s) `x`, `y` for the `anthropic-beta` header. Please consult our documentation at "
        "platform.claude.com/docs or try again without the header."
    )


def test_strict_knows_every_beta_of_the_sdk() -> None:
    pytest.importorskip("anthropic")
    from typing import get_args

    from anthropic.types.anthropic_beta_param import AnthropicBetaParam

    assert set(get_args(get_args(AnthropicBetaParam)[1])) <= betas.KNOWN


@pytest.mark.parametrize(
    ("body", "charset", "utf8"),
    [
        ("é".encode(), None, "é".encode()),
        ("é".encode(), "UTF-8", "é".encode()),
        ("é".encode("latin-1"), '"iso-8859-1"', "é".encode()),
        (b"e", "us-ascii", b"e"),
    ],
)
def test_a_charset_becomes_utf8(body: bytes, charset: str | None, utf8: bytes) -> None:
    assert transcode(body, charset) == utf8


def test_other_charsets_are_refused() -> None:
    with pytest.raises(ApiError) as caught:
        transcode(b"{}", "utf-16")
    assert caught.value.kind.status == 400
    assert caught.value.details == {"error_code": "unsupported_charset"}


def test_ascii_is_ascii() -> None:
    with pytest.raises(ApiError, match=r"^The request body is not valid JSON: str is not valid ascii: line 1 column 2"):
        transcode(b"a\xe9", "us-ascii")
