"""The Messages API as AWS offers it beside Bedrock's own: the same routes, for callers who may sign what they send.

Bedrock Mantle has them under a prefix. "Claude Platform on AWS" has them where they are, and needs no route of its own.
"""

from collections.abc import Iterable

from starlette.routing import Route

_PREFIX = "/anthropic"


def routes(messages: Iterable[Route]) -> list[Route]:
    """`messages` once more, under Mantle's prefix."""
    return [Route(_PREFIX + native.path, endpoint=native.endpoint) for native in messages]
