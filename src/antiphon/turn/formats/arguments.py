"""The arguments of one call on their way out, in whole pairs of key and value."""

import json
from collections.abc import Callable
from typing import Any, cast

from antiphon.turn.formats.reader import Broken, Reader, Reading, Sink, run_whole
from antiphon.turn.formats.values import enter, escaped, go_on, mended, read_value
from antiphon.wire.fields import JsonObject

Repair = Callable[[JsonObject, Any], Any]
"""(schema of a parameter, the value that came) -> the value that fits, or the same."""

_KINDS: dict[str, set[str]] = {
    '"': set(),
    "{": {"object"},
    "[": {"array"},
    "t": {"boolean"},
    "f": {"boolean"},
    "n": {"null"},
}
_NUMBERS = {"number", "integer"}
"""By the first character of a value: the JSON types that it may have. What is quoted stays a string, quotes and all."""


class Arguments:
    """Takes JSON text in pieces, as valid JSON only, and writes it in fragments that end with a value.

    An eager one may be flushed at any time, and nothing in it is repaired.
    """

    def __init__(self, schema: JsonObject, write: Sink, repair: Repair | None, *, is_eager: bool) -> None:
        self.is_eager = is_eager
        self._schema = schema
        self._write = write
        self._repair = None if is_eager else repair
        self._pieces: list[str] = []
        self._is_first = True
        self._has_dropped = False
        """Whether all that is kept is a brace, and what follows it may be a comma."""

    def add(self, piece: str) -> None:
        self._pieces.append(piece)

    def flush(self) -> None:
        fragment = "".join(self._pieces)
        if self._has_dropped:
            if fragment == "{":
                return
            fragment, self._has_dropped = "{" + fragment[1:].lstrip().removeprefix(",").lstrip(), False
        if fragment:
            self._write(fragment)
        self._pieces.clear()

    def _drop(self) -> None:
        """Forget the key that was added last: its value is no value."""
        self._has_dropped = self._has_dropped or "".join(self._pieces).lstrip().startswith("{")
        self._pieces = ["{"] if self._has_dropped else []

    def read(self, reader: Reader, key: str | None, brackets: list[str]) -> Reading[None]:
        """The members of an object whose first key has been read, and its end."""
        while key is not None:
            yield from self.read_value(reader, key)
            key = yield from go_on(reader, self.add, brackets)
        self.flush()

    def read_value(self, reader: Reader, key: str) -> Reading[None]:
        """The value of a key that has been added."""
        if self._repair:
            yield from self._read_repairing(reader, key, self._repair)
        else:
            yield from read_value(reader, self.add)
        if not self.is_eager:
            self.flush()

    def _read_repairing(self, reader: Reader, key: str, repair: Repair) -> Reading[None]:
        pieces: list[str] = []
        try:
            yield from read_value(reader, pieces.append)
        except Broken:
            self.add("".join(pieces))
            raise
        text = "".join(pieces)
        if self._is_absent(key, text):
            self._drop()
        else:
            self.add(_repaired(text, self._schema_of(key), repair))

    def _is_absent(self, key: str, text: str) -> bool:
        """Whether a null stands for a parameter that may be left out, and that may be no null."""
        if text != "null" or self._repair is None or key not in properties_of(self._schema):
            return False
        required = cast(object, self._schema.get("required"))
        whole: JsonObject = {"type": "object", "properties": {key: self._schema_of(key)}}
        is_required = isinstance(required, list) and key in required
        return not is_required and self._repair(whole, {key: None}) == {}

    def write_whole(self, text: str) -> None:
        """All arguments at once: a JSON object, valid."""

        def read(reader: Reader) -> Reading[None]:
            brackets: list[str] = []
            key = yield from enter(reader, self.add, brackets)
            yield from self.read(reader, key, brackets)

        run_whole(text, read)

    def write_text(self, key: str, text: str) -> None:
        """One argument from a format without types: the tool's schema gives it one."""
        value = typed(self._schema_of(key), text)
        if self._is_absent(key, value):
            return
        if self._repair:
            value = _repaired(value, self._schema_of(key), self._repair)
        self.write_key(key)
        self.add(value)
        self.flush()

    def write_beginning(self, key: str, text: str) -> None:
        """The beginning of an argument that was cut."""
        if _types(self._schema_of(key)) == {"string"}:
            self.write_key(key)
            self.add('"' + escaped(text))

    def write_end(self) -> None:
        """The end of arguments that were written one by one."""
        self.add("{}" if self._is_first else "}")
        self.flush()

    def write_key(self, key: str) -> None:
        """The next key of arguments that are written one by one."""
        self.add(f'{"{" if self._is_first else ", "}"{escaped(key)}": ')
        self._is_first = False

    def _schema_of(self, key: str) -> JsonObject:
        """The schema of a parameter, with the definitions that it may refer to."""
        schema = _object(properties_of(self._schema).get(key))
        return {word: self._schema[word] for word in ("$defs", "definitions") if word in self._schema} | schema


def properties_of(schema: JsonObject) -> JsonObject:
    """What an input schema says of each parameter."""
    return _object(schema.get("properties"))


def typed(schema: JsonObject, text: str) -> str:
    """A value that was written without quotes, as JSON: a string, unless the schema wants something else and it is."""
    types = _types(schema)
    if types == {"string"}:
        return f'"{escaped(text)}"'
    value = mended(text)
    if value is None or ("string" in types and not types & _KINDS.get(value[0], _NUMBERS)):
        return f'"{escaped(text)}"'
    return value


def _types(schema: JsonObject) -> set[str]:
    """The JSON types that a schema names; empty where it does not tell."""
    kinds = schema.get("type")
    if isinstance(kinds, str):
        return {kinds}
    if isinstance(kinds, list):
        return {str(kind) for kind in cast(list[object], kinds)}
    if isinstance(values := schema.get("enum"), list):
        return {"string"} if all(isinstance(value, str) for value in cast(list[object], values)) else set()
    types: set[str] = set()
    for word in ("anyOf", "oneOf"):
        branches = schema.get(word)
        for branch in cast(list[object], branches) if isinstance(branches, list) else ():
            types |= _types(_object(branch)) or {"any"}
    return set() if "any" in types else types


def _repaired(text: str, schema: JsonObject, repair: Repair) -> str:
    try:
        value = json.loads(text)
    except ValueError:  # an integer with more digits than Python converts
        return text
    before = json.dumps(value)
    after = repair(schema, value)
    return text if json.dumps(after) == before else json.dumps(after, ensure_ascii=False)


def _object(value: object) -> JsonObject:
    return cast(JsonObject, value) if isinstance(value, dict) else {}
