"""Stop sequences over a stream of text: nothing that may yet become one is let through."""

from collections import deque
from collections.abc import Sequence


class _Node:
    __slots__ = ("depth", "fail", "found", "next")

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.next: dict[str, _Node] = {}
        self.fail: _Node = self
        self.found: str | None = None


_EMPTY = _Node(0)


class StopMatcher:
    """Finds the sequence that is complete first, whatever the cut of the text; of two that end together, the longer.

    An Aho-Corasick automaton: each character is looked at once, however many sequences there are.
    """

    def __init__(self, sequences: Sequence[str]) -> None:
        self._root = _automaton(sequences) if sequences else _EMPTY
        self._node = self._root
        self._held = ""
        self.is_empty = not sequences

    def feed(self, text: str) -> tuple[str, str | None]:
        """(text that is safe to show, the sequence found or None). After a find, feed nothing more."""
        root, node = self._root, self._node
        for i, char in enumerate(text):
            while char not in node.next and node is not root:
                node = node.fail
            node = node.next.get(char, root)
            if node.found is not None:
                return (self._held + text[: i + 1])[: -len(node.found)], node.found
        self._node = node
        whole = self._held + text
        cut = len(whole) - node.depth
        self._held = whole[cut:]
        return whole[:cut], None

    def flush(self) -> str:
        """The text that was kept back, once the stream has ended without a find."""
        held, self._held, self._node = self._held, "", self._root
        return held


def _automaton(sequences: Sequence[str]) -> _Node:
    root = _Node(0)
    for sequence in sequences:
        node = root
        for char in sequence:
            node = node.next.setdefault(char, _Node(node.depth + 1))
        node.found = sequence
    root.fail = root
    _link(root)
    return root


def _link(root: _Node) -> None:
    """Point each node at the longest proper suffix of its text that is a node too; inherit what ends there."""
    queue: deque[_Node] = deque()
    for node in root.next.values():
        node.fail = root
        queue.append(node)
    while queue:
        parent = queue.popleft()
        for char, node in parent.next.items():
            fail = parent.fail
            while char not in fail.next and fail is not root:
                fail = fail.fail
            node.fail = fail.next.get(char, root)
            node.found = node.found or node.fail.found
            queue.append(node)
