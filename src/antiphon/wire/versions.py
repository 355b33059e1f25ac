"""The two versions of the API and the names that the clouds give them (Messages API, "Versions")."""

from enum import StrEnum

from antiphon.core.errors import invalid


class Version(StrEnum):
    """What `anthropic-version` says. Compare with `is`; the value is the header's text."""

    V2023_06_01 = "2023-06-01"
    V2026_10_21 = "2026-10-21"


_CLOUD_NAMES = {
    "bedrock-2023-05-31": Version.V2023_06_01,
    "vertex-2023-10-16": Version.V2023_06_01,
}


def from_header(value: str | None) -> Version:
    """The version of the `anthropic-version` header; ApiError 400 when it is missing or unknown."""
    if value is None:
        raise invalid("anthropic-version: header is required")
    return _known(value, "anthropic-version")


def from_cloud_body(value: str | None) -> Version:
    """The version of a cloud body's `anthropic_version`, which may also bear the cloud's own name."""
    if value is None:
        raise invalid("anthropic_version: Field required")
    return _CLOUD_NAMES.get(value) or _known(value, "anthropic_version")


_BY_NAME = {str(version): version for version in Version}


def _known(value: str, where: str) -> Version:
    if version := _BY_NAME.get(value.strip()):
        return version
    raise invalid(f'{where}: "{value[:100]}" is not a valid version')
