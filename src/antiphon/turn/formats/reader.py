"""Text as it arrives, for parsers that are written as if it were all there.

A parser is a generator: it yields when it has to see more text, and goes on when there is some. What it does depends
on the text alone and never on how the text was cut.
"""

import re
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

T = TypeVar("T")
Reading = Generator[None, None, T]
Sink = Callable[[str], None]

_BLANKS = re.compile(r"[ \t\r\n]*")


class Broken(ValueError):
    """The text is not what the format says; the reader stands before what is wrong, or behind it if that is `word`."""

    def __init__(self, word: str = "") -> None:
        super().__init__(word)
        self.word = word


class Literals:
    """A fixed set of strings to look for."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words = tuple(sorted(set(words), key=lambda word: (-len(word), word)))
        self._by_first: dict[str, list[str]] = {}
        for word in self.words:
            self._by_first.setdefault(word[0], []).append(word)
        self.first = frozenset(self._by_first)
        self._any = re.compile("|".join(map(re.escape, self.words)) or r"(?!)")
        self._length = len(self.words[0]) if self.words else 0

    def at(self, text: str, start: int, *, is_all: bool) -> str | None:
        """The longest word that stands at `start`, "" for none, or None while more text may decide."""
        num_left = len(text) - start
        if num_left == 0:
            return "" if is_all else None
        for word in self._by_first.get(text[start], ()):
            if text.startswith(word, start):
                return word
            if not is_all and num_left < len(word) and text.endswith(word[:num_left]):
                return None
        return ""

    def find(self, text: str, start: int) -> tuple[int, str]:
        """(where the first word stands, the word); ("how far no word can have begun", "") if there is none."""
        if match := self._any.search(text, start):
            return match.start(), match.group()
        for at in range(max(start, len(text) - self._length + 1), len(text)):
            if self.at(text, at, is_all=False) is None:
                return at, ""
        return len(text), ""


class Reader:
    """What was consumed goes to `sink`: it decides whether the text is kept, shown or dropped."""

    def __init__(self, sink: Sink) -> None:
        self.text = ""
        self.place = 0
        self._num_gone = 0
        self.sink = sink
        self.is_ended = False
        self.is_cut = False
        """Whether the end is not the model's own."""
        self.is_strict = False
        """Whether JSON is to be read as it is defined, with nothing mended."""
        self.closers = Literals(())
        """What closes a call from outside: brackets that are missing before one of them are taken as forgotten."""

    def add(self, text: str) -> None:
        self._num_gone += self.place
        self.text = self.text[self.place :] + text
        self.place = 0

    @property
    def num_taken(self) -> int:
        """How many characters were consumed so far."""
        return self._num_gone + self.place

    def end(self, *, is_cut: bool) -> None:
        self.is_ended, self.is_cut = True, is_cut

    @property
    def is_empty(self) -> bool:
        return self.place == len(self.text)

    @property
    def is_over(self) -> bool:
        return self.is_ended and self.is_empty

    def take(self, num: int) -> str:
        """Consume that many characters."""
        piece = self.text[self.place : self.place + num]
        self.place += len(piece)
        self.sink(piece)
        return piece

    def ahead(self, num: int) -> Reading[str]:
        """The next characters, fewer only at the end; nothing is consumed."""
        while len(self.text) - self.place < num and not self.is_ended:
            yield
        return self.text[self.place : self.place + num]

    def peek(self) -> Reading[str]:
        """The next character, "" at the end."""
        while self.place == len(self.text) and not self.is_ended:
            yield
        return self.text[self.place : self.place + 1]

    def run(self, pattern: re.Pattern[str], out: Sink) -> Reading[None]:
        """Consume as long as `pattern` (a character class, repeated) matches."""
        while True:
            match = pattern.match(self.text, self.place)
            if match and match.end() > self.place:
                out(self.take(match.end() - self.place))
            if not self.is_empty or self.is_ended:
                return
            yield

    def read(self, pattern: re.Pattern[str]) -> Reading[str]:
        """The run as one string."""
        pieces: list[str] = []
        yield from self.run(pattern, pieces.append)
        return "".join(pieces)

    def blanks(self) -> Reading[str]:
        return (yield from self.read(_BLANKS))

    def stands(self, literals: Literals) -> Reading[str]:
        """The longest of the words that comes next, or ""; nothing is consumed."""
        while (word := literals.at(self.text, self.place, is_all=self.is_ended)) is None:
            yield
        return word

    def expect(self, literals: Literals) -> Reading[str]:
        """Consume one of the words. Raises Broken if none comes next."""
        word = yield from self.stands(literals)
        if not word:
            raise Broken
        return self.take(len(word))

    def until(self, literals: Literals, out: Sink) -> Reading[str]:
        """Consume up to one of the words and the word too, and return it; "" if the text ends before.

        Where the text ends within a word, the beginning of the word is not passed on.
        """
        while True:
            at, word = literals.find(self.text, self.place)
            if at > self.place:
                out(self.take(at - self.place))
            if word:
                return self.take(len(word))
            if self.is_ended:
                self.take(len(self.text) - self.place)
                return ""
            yield

    def is_closing(self) -> Reading[bool]:
        """Whether nothing more of a call can come: the model has ended its turn, or closed the call from outside."""
        if (yield from self.peek()):
            return bool((yield from self.stands(self.closers)))
        return not self.is_cut


def run_whole(text: str, parser: Callable[[Reader], Reading[T]]) -> T:
    """What the parser makes of a text that is all there. Raises Broken, also if something is left over."""
    reader = Reader(ignore)
    reader.add(text)
    reader.end(is_cut=True)
    try:
        next(parser(reader))
    except StopIteration as done:
        if not reader.is_empty:
            raise Broken from None
        return done.value
    raise Broken


def ignore(text: str) -> None:
    pass
