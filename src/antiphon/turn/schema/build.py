"""From a schema to the rules of its grammar. What a grammar cannot say is left out, and `is_exact` turns false.

It is narrower than the schema on purpose: properties come in the schema's order, keys that it does not name only where
it says so (`additionalProperties`, or no `properties` at all), a tuple has all its items, and the only blanks are
single spaces after `:` and `,`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from antiphon.turn.schema import containers, gbnf, kinds, layout, numbers, refs, strings
from antiphon.turn.schema.gbnf import Alt, Node, Rule, Seq, Text
from antiphon.turn.schema.kinds import as_list, as_object
from antiphon.turn.schema.merge import ConflictError, Merger, Schema, constraints, type_names
from antiphon.turn.schema.recursion import endless, left_recursive

_ALL_TYPES = {"object", "array", "string", "number", "boolean", "null"}
_INFERRED = {
    "object": "properties required additionalProperties patternProperties propertyNames minProperties maxProperties",
    "array": "items prefixItems additionalItems minItems maxItems uniqueItems contains",
    "string": "pattern minLength maxLength format",
    "number": "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf",
}
_UNSAID = frozenset(
    "not if then else dependentRequired dependentSchemas dependencies unevaluatedProperties unevaluatedItems contains "
    "minContains maxContains $dynamicRef $recursiveRef extends disallow divisibleBy".split()
)
_MAX_ANY = 6
_MAX_STEPS = 10_000
_LARGE = 50
ANY = Rule(f"any-{_MAX_ANY}")
ANY_OF_TYPE = {
    "object": Rule(f"object-{_MAX_ANY}"),
    "array": Rule(f"array-{_MAX_ANY}"),
    "string": Rule("string"),
    "boolean": Rule("boolean"),
}


class Detail(NamedTuple):
    """How much of a schema is kept: the greatest length, number of items, of values, depth, and size of a pattern."""

    max_length: int
    max_items: int
    max_values: int
    max_depth: int
    max_pattern: int


class Built(NamedTuple):
    """Rules by name. Every text of exact ones is valid under the schema."""

    rules: dict[str, Node]
    is_exact: bool


class TooLargeError(Exception):
    """With this much detail the grammar would be too large."""


def build(schema: object, name: str, detail: Detail) -> Built:
    """The rules for a schema; the rule `name` is its own. Raises TooLargeError."""
    try:
        return Builder(schema, name, detail).run()
    except RecursionError as error:
        raise TooLargeError from error


def _any_rules() -> dict[str, Node]:
    rules: dict[str, Node] = {"any-0": Alt((Rule("string"), Rule("number"), Rule("boolean"), Text("null")))}
    for level in range(1, _MAX_ANY + 1):
        inner = Rule(f"any-{level - 1}")
        member = Seq((Rule("string"), layout.COLON, inner))
        rules[f"object-{level}"] = Seq((Text("{"), layout.listed(member, 0, layout.MAX_FREE), Text("}")))
        rules[f"array-{level}"] = Seq((Text("["), layout.listed(inner), Text("]")))
        rules[f"any-{level}"] = Alt((Rule(f"object-{level}"), Rule(f"array-{level}"), Rule("any-0")))
    return rules


SHARED: Mapping[str, Node] = {
    **strings.SHARED,
    **numbers.SHARED,
    "boolean": Alt((Text("true"), Text("false"))),
    **_any_rules(),
}
"""Rules that any grammar may use: the simple types, and any value whose depth is bounded."""


class Builder:
    """The rules of one schema in the making."""

    def __init__(self, root: object, name: str, detail: Detail) -> None:
        self.detail = detail
        self._root = root
        self._name = name
        self._rules: dict[str, Node] = {}
        self._num_rules = 1
        self._pending: list[tuple[Rule, object]] = [(Rule(name), root)]
        self._by_ref: dict[str, Rule] = {"#": Rule(name)}
        self._by_node: dict[Node, Rule] = {}
        self._num_steps = 0
        self._is_exact = True

    def run(self) -> Built:
        while self._pending:
            rule, schema = self._pending.pop()
            self._rules[rule.name] = self.some(schema, 0)
        while name := left_recursive(self._rules) or self._endless():
            self._rules[name] = ANY
            self._is_exact = False
        return Built(self._rules, self._is_exact)

    def _endless(self) -> str | None:
        """A rule for values that never come to an end. Only references lead around in circles."""
        names = endless(self._rules)
        return next((rule.name for rule in self._by_ref.values() if rule.name in names), None)

    def note(self, is_exact: bool) -> None:
        """Tells that what was made is exact, or is not."""
        self._is_exact = self._is_exact and is_exact

    def named(self, node: Node) -> Rule:
        """The node as a rule, for what is needed twice; one rule for all nodes that are equal."""
        if isinstance(node, Rule):
            return node
        if node not in self._by_node:
            self._by_node[node] = self._new_rule()
            self._rules[self._by_node[node].name] = node
        return self._by_node[node]

    def _new_rule(self) -> Rule:
        self._num_rules += 1
        return Rule(f"{self._name}-{self._num_rules}")

    def some(self, schema: object, depth: int) -> Node:
        """The values of a schema; any value if there are none."""
        node = self.values(schema, depth)
        self.note(node is not None)
        return node or ANY

    def values(self, schema: object, depth: int) -> Node | None:
        """The values of a schema, or None if there are none."""
        self._num_steps += 1
        if self._num_steps > _MAX_STEPS:
            raise TooLargeError
        if schema is False:
            return None
        part = as_object(schema)
        if part is None:
            self.note(schema is True)
            return ANY
        limits = constraints(part)
        if depth > self.detail.max_depth:
            return self._shallow(part, limits)
        try:
            return self._constrained(part, limits, depth)
        except ConflictError:
            return None

    def _shallow(self, schema: Schema, limits: Schema) -> Node:
        """Only the type, where a schema is too deep to be followed."""
        names = type_names(schema.get("type"))
        found = ANY_OF_TYPE.get(names[0], ANY) if len(names) == 1 else ANY
        self.note(not limits.keys() - {"type"} and (found != ANY or not limits))
        return found

    def _constrained(self, schema: dict[str, object], limits: Schema, depth: int) -> Node | None:
        self.note(not limits.keys() & _UNSAID)
        if "$ref" in limits:
            return self._reference(schema, limits, depth)
        if (parts := as_list(limits.get("allOf"))) is not None:
            return self.values(self._merged([_without(schema, "allOf"), *parts]), depth + 1)
        if "const" in limits:
            allowed = as_list(limits.get("enum"))
            self.note(allowed is None or _holds(allowed, limits["const"]))
            return self._constants([limits["const"]], schema, depth)
        if (values := as_list(limits.get("enum"))) is not None:
            return self._constants(values, schema, depth)
        for keyword in ("anyOf", "oneOf"):
            if (parts := as_list(limits.get(keyword))) is not None:
                return self._any_of(_without(schema, keyword), keyword, parts, depth)
        return self._typed(schema, depth)

    def _reference(self, schema: dict[str, object], limits: Schema, depth: int) -> Node | None:
        ref = limits["$ref"]
        target = self._target(schema)
        if target is refs.MISSING:
            self.note(False)
            return self.values(_without(schema, "$ref"), depth + 1)
        if len(limits) > 1 or schema.get("nullable") is True or not isinstance(ref, str):
            merger = Merger(self._target)
            opened = merger.opened(schema)
            self.note(merger.is_exact)
            return self.values(opened, depth + 1)
        if ref not in self._by_ref:
            self._by_ref[ref] = self._new_rule()
            self._pending.append((self._by_ref[ref], target))
        return self._by_ref[ref]

    def _target(self, schema: Schema) -> object:
        ref = schema["$ref"]
        return refs.resolved(self._root, ref) if isinstance(ref, str) else refs.MISSING

    def _merged(self, schemas: Sequence[object]) -> object:
        merger = Merger(self._target)
        merged, *others = schemas
        for schema in others:
            merged = merger.both(merged, schema)
        self.note(merger.is_exact)
        return merged

    def _any_of(self, rest: Schema, keyword: str, parts: Sequence[object], depth: int) -> Node | None:
        if not 0 < len(parts) <= self.detail.max_values:
            self.note(False)
            return self.values(rest, depth + 1)
        nodes = [node for part in parts if (node := self._option(rest, part, depth))]
        self.note(keyword == "anyOf" or len(nodes) < 2)
        nodes += [Text("null")] if rest.get("nullable") is True else []
        return gbnf.alt(*dict.fromkeys(nodes)) if nodes else None

    def _option(self, rest: Schema, part: object, depth: int) -> Node | None:
        if not constraints(rest):
            return self.values(part, depth + 1)
        try:
            return self.values(self._merged([rest, part]), depth + 1)
        except ConflictError:
            return None

    def _constants(self, values: Sequence[object], schema: Schema, depth: int) -> Node | None:
        names = type_names(schema.get("type"))
        kept = [value for value in values if not names or any(kinds.is_of(value, name) for name in names)]
        kept += [None] if schema.get("nullable") is True and None not in kept else []
        self.note(not constraints(schema).keys() - {"type", "enum", "const"})
        if len(kept) > self.detail.max_values:
            self.note(False)
            return self._typed({"type": names or sorted({kinds.type_of(value) for value in kept})}, depth)
        texts = [strings.literal(value) for value in kept if isinstance(value, str)]
        nodes = [layout.constant(value) for value in kept if not isinstance(value, str)]
        nodes = [gbnf.words(texts), *nodes] if texts else nodes
        return gbnf.alt(*nodes) if nodes else None

    def _typed(self, schema: Schema, depth: int) -> Node | None:
        stated = type_names(schema.get("type"))
        names = [name for name in stated if name in _ALL_TYPES or name == "integer"]
        self.note("type" not in schema or (bool(names) and len(names) == len(stated)))
        names = names or [name for name, keywords in _INFERRED.items() if schema.keys() & set(keywords.split())]
        names += ["null"] if names and schema.get("nullable") is True else []
        names = [name for name in dict.fromkeys(names) if name != "integer" or "number" not in names]
        if not names or (not _ALL_TYPES - set(names) and not constraints(schema).keys() - {"type"}):
            return ANY
        nodes = [node for name in names if (node := self._of_type(name, schema, depth))]
        return gbnf.alt(*nodes) if nodes else None

    def _string(self, schema: Schema) -> strings.StringTree | None:
        found = strings.string_of(schema, self.detail.max_length, self.detail.max_pattern)
        is_large = found is not None and gbnf.size(found.node) > _LARGE
        return found._replace(node=self.named(found.node)) if found and is_large else found

    def _of_type(self, name: str, schema: Schema, depth: int) -> Node | None:
        match name:
            case "object":
                return containers.object_of(self, schema, depth)
            case "array":
                return containers.array_of(self, schema, depth)
            case "string":
                found = self._string(schema)
            case "integer" | "number":
                self.note(schema.get("multipleOf", 1) == 1 and ("multipleOf" not in schema or name == "integer"))
                found = (numbers.integer_of if name == "integer" else numbers.number_of)(numbers.bounds_of(schema))
            case "boolean":
                return Rule("boolean")
            case _:
                return Text("null")
        self.note(found is None or found.is_exact)
        return found and found.node


def _holds(values: Sequence[object], wanted: object) -> bool:
    return any(type(value) is type(wanted) and value == wanted for value in values)


def _without(schema: Schema, key: str) -> dict[str, object]:
    return {name: value for name, value in schema.items() if name != key}
