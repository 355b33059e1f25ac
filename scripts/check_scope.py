"""Every query on what belongs to an organization must be bound to one: no function can forget whose rows it reads.

`problems(source)` is the whole check. Run as a program it prints what is wrong and fails if there is any.

A function that builds a select, insert, update or delete on a table with an `organization_id` has to take a parameter
annotated `Scope`, or a `Principal` or a `Change`, which have a `.scope`. Each such statement has to be made from that
scope: directly, or by way of local variables that were. A table that cannot be told from the code counts as owned.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from sqlalchemy import Table

from antiphon.store import tables

SOURCE = Path(__file__).parents[1] / "src" / "antiphon"
_STATEMENTS = {"select", "insert", "update", "delete"}
_MADE_OF = {"Scope": "{}", "Principal": "{}.scope", "Change": "{}.scope"}
"""What has to go into a statement, for each type of a parameter that will do."""
_TABLES = {name: table for name, table in vars(tables).items() if isinstance(table, Table)}
_OWNED = {name for name, table in _TABLES.items() if "organization_id" in table.c}
_UNKNOWN = "a table that is not told"

ALLOWED: dict[str, str] = {
    "store/accounts.py::Change.note": "a change is of one scope by itself",
    "features/batches/queue.py::open_batches": "workers serve all organizations",
    "features/batches/queue.py::_count": "the same",
    "features/batches/queue.py::batches_to_end": "the same",
    "features/batches/queue.py::batches_to_clear": "the same",
    "features/batches/queue.py::look": "the same",
    "features/batches/queue.py::announce_chat": "the same",
    "features/batches/queue.py::clear": "the same",
    "features/batches/queue.py::archive": "the same",
    "features/batches/queue.py::forget": "the same",
    "ledger/store.py::_insert": "what calls have used is written with the organization of each",
    "ledger/store.py::_add": "the same",
    "ledger/store.py::spent_in": "loads what all organizations have spent",
    "features/files/store.py::used_digests": "a blob is kept for whosever file it is",
    "features/files/store.py::forget_expired": "sweeps what is left of everybody's expired files",
    "store/directory.py::_home": "looks for the first organization of all",
    "store/directory.py::_holders": "loads the keys of all organizations, by which callers are told apart",
    "store/directory.py::_pairs": "loads the AWS keys of all organizations, by which callers are told apart",
    "store/directory.py::_rates": "loads the limits of all organizations",
    "store/directory.py::_budgets": "loads the spend limits of all organizations",
    "store/first.py::_adopt": "the operator's keys are whoever's they are, and new ones the first organization's",
}
"""What works for the whole server, `file::function`, and why."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def problems(source: Path, allowed: Mapping[str, str] = ALLOWED) -> list[str]:
    """One line for each statement that is not bound, and for each entry of `allowed` that nothing needs."""
    found: list[str] = []
    unneeded = dict(allowed)
    for path in sorted(source.rglob("*.py")):
        name = path.relative_to(source).as_posix()
        if name.startswith("store/migrations/"):
            continue
        for function, line, table in unbound(ast.parse(path.read_text("utf-8"))):
            place = f"{name}::{function}"
            unneeded.pop(place, None)
            if place not in allowed:
                found.append(
                    f"{path}:{line}: {function} asks for {table} of any organization. Take a `scope: Scope`, compare "
                    f"organization_id with scope.organization_id; or put {place!r} into ALLOWED, with the reason."
                )
    return found + [f"{place} need not be in ALLOWED any more: take it out." for place in unneeded]


def unbound(module: ast.Module) -> Iterator[tuple[str, int, str]]:
    """(function, line, table) of each statement that no scope goes into."""
    makers = _makers(module)
    known = _aliases(module, {})
    yield from _unbound_in(module.body, "the module", makers, known, set())


def _unbound_in(
    body: list[ast.stmt], name: str, makers: set[str], known: dict[str, str], bound: set[str]
) -> Iterator[tuple[str, int, str]]:
    """`bound` are the names that a scope has gone into. A function inside another knows that one's."""
    simple = list(_simple(body))
    bound = _spread(simple, bound)
    for part in simple:
        if isinstance(part, ast.ClassDef):
            prefix = "" if name == "the module" else f"{name}."
            yield from _unbound_in(part.body, f"{prefix}{part.name}", makers, known, bound)
        elif isinstance(part, _Function):
            inner = part.name if name == "the module" else f"{name}.{part.name}"
            yield from _unbound_in(part.body, inner, makers, _aliases(part, known), bound | _scopes(part))
        elif not _names(part) & bound and not _targets(part) & bound:
            for call in _statements(part, makers, known):
                if table := _owned_table(call, part, known):
                    yield name, call.lineno, table


def _simple(body: list[ast.stmt]) -> Iterator[ast.stmt | ast.expr]:
    """The parts that run by themselves: simple statements, the heads of compound ones, and definitions as they are."""
    for statement in body:
        if isinstance(statement, _Function | ast.ClassDef):
            yield statement
            continue
        inner = [part for part in ast.iter_child_nodes(statement) if isinstance(part, ast.stmt | ast.ExceptHandler)]
        if not inner and not isinstance(statement, ast.Match):
            yield statement
            continue
        for field in ast.iter_fields(statement):
            yield from _head_or_body(field[1])
        if isinstance(statement, ast.For | ast.AsyncFor):
            yield ast.copy_location(ast.Assign([statement.target], statement.iter), statement)


def _head_or_body(value: object) -> Iterator[ast.stmt | ast.expr]:
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, ast.stmt):
            yield from _simple([part])
        elif isinstance(part, ast.ExceptHandler | ast.match_case):
            yield from _simple(part.body)
        elif isinstance(part, ast.withitem):
            yield part.context_expr
        elif isinstance(part, ast.expr):
            yield part


def _spread(parts: list[ast.stmt | ast.expr], bound: set[str]) -> set[str]:
    """With the local names that are made from a bound one, in whatever order."""
    bound = set(bound)
    size = -1
    while len(bound) > size:
        size = len(bound)
        for part in parts:
            if _names(part) & bound:
                bound |= _targets(part)
    return bound


def _names(part: ast.AST) -> set[str]:
    """The names that `part` reads, and the attributes of names: `x` and `x.scope`."""
    if isinstance(part, _Function | ast.ClassDef):
        return set()
    found = {node.id for node in ast.walk(part) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return found | {ast.unparse(node) for node in ast.walk(part) if isinstance(node, ast.Attribute)}


def _targets(part: ast.AST) -> set[str]:
    """The names that `part` gives a value, or adds one to: `x = ...`, `x += ...`, `x.append(...)`."""
    if isinstance(part, _Function | ast.ClassDef):
        return set()
    found = {node.id for node in ast.walk(part) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    if isinstance(part, ast.Expr) and isinstance(part.value, ast.Call) and isinstance(part.value.func, ast.Attribute):
        adder = part.value.func
        if adder.attr in ("append", "extend") and isinstance(adder.value, ast.Name):
            found.add(adder.value.id)
    return found


def _scopes(function: _Function) -> set[str]:
    """The scopes that `function` is given, as they are written in it."""
    arguments = function.args
    given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    kinds = {one.arg: one.annotation for one in given}
    named = {name: kind.value if isinstance(kind, ast.Constant) else kind for name, kind in kinds.items()}
    types = {name: kind.id if isinstance(kind, ast.Name) else kind for name, kind in named.items()}
    return {_MADE_OF[kind].format(name) for name, kind in types.items() if isinstance(kind, str) and kind in _MADE_OF}


def _makers(module: ast.Module) -> set[str]:
    """All that the module has from SQLAlchemy."""
    found: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sqlalchemy":
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.asname or "sqlalchemy" for alias in node.names if alias.name.startswith("sqlalchemy")}
    return found


def _statements(part: ast.AST, makers: set[str], known: dict[str, str]) -> Iterator[ast.Call]:
    """The calls of select and its like, by name or as a method of SQLAlchemy's modules or of a table."""
    for node in ast.walk(part):
        if isinstance(node, ast.Call):
            maker = node.func
            is_name = isinstance(maker, ast.Name) and maker.id in _STATEMENTS & makers
            is_method = isinstance(maker, ast.Attribute) and maker.attr in _STATEMENTS
            if is_name or (is_method and (_names(maker) & (makers | known.keys()) or list(_tables_in(maker, known)))):
                yield node


def _owned_table(call: ast.Call, part: ast.AST, known: dict[str, str]) -> str | None:
    """The first owned table that a statement is about; None where all of its tables are nobody's."""
    about = list(_tables_in(call, known)) or list(_tables_in(part, known)) or [_UNKNOWN]
    return next((table for table in about if table in _OWNED or table == _UNKNOWN), None)


def _tables_in(part: ast.AST, known: dict[str, str]) -> Iterator[str]:
    for node in ast.walk(part):
        if isinstance(node, ast.expr) and (table := _table_of(node, known)):
            yield table


def _aliases(scope: ast.Module | _Function, known: dict[str, str]) -> dict[str, str]:
    """Local names of tables: `from ...tables import users`, `users = tables.users`, and pairs of these."""
    found = dict(known)
    for node in ast.walk(scope):
        if isinstance(node, ast.ImportFrom) and node.module == tables.__name__:
            found |= {alias.asname or alias.name: alias.name for alias in node.names if alias.name in _TABLES}
        elif isinstance(node, ast.Assign) and (isinstance(scope, _Function) or node in scope.body):
            for target, value in _pairs(node):
                table = _table_of(value, found)
                if table and isinstance(target, ast.Name):
                    found[target.id] = table
    return found


def _pairs(node: ast.Assign) -> Iterator[tuple[ast.expr, ast.expr]]:
    (target, *_), value = node.targets, node.value
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        yield from zip(target.elts, value.elts, strict=False)
    else:
        yield target, value


def _table_of(value: ast.expr, known: dict[str, str]) -> str | None:
    """The table that `value` is, or the columns of: `tables.users`, `users`, `users.c`."""
    if isinstance(value, ast.Attribute) and value.attr == "c":
        value = value.value
    if isinstance(value, ast.Attribute) and ast.unparse(value.value) == "tables":
        return value.attr if value.attr in _TABLES else None
    return known.get(value.id) if isinstance(value, ast.Name) else None


if __name__ == "__main__":
    found = problems(SOURCE)
    print("\n".join(found), file=sys.stderr)
    sys.exit(bool(found))
