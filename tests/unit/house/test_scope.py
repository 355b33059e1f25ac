"""No query on what belongs to an organization goes without a scope: the check itself, and the source it is for."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from scripts.check_scope import SOURCE, problems, unbound

HEAD = """
from sqlalchemy import delete, insert, select, update
from antiphon.core.scope import Principal, Scope
from antiphon.store import tables
from antiphon.store.accounts import Change
from antiphon.store.tables import users
_keys = tables.api_keys
"""


def found(code: str) -> list[tuple[str, str]]:
    """(function, table) of what the check finds."""
    return [(function, table) for function, _, table in unbound(ast.parse(HEAD + code))]


def test_the_source_has_no_query_without_a_scope():
    assert problems(SOURCE) == []


@pytest.mark.parametrize(
    ("code", "table"),
    [
        ("def f(connection, id): return select(users).where(users.c.id == id)", "users"),
        ("def f(connection, id): return select(tables.users.c.name)", "users"),
        ("def f(scope: Scope, id): return select(users).where(users.c.id == id)", "users"),
        ("def f(scope, id): return select(users).where(users.c.organization_id == scope.organization_id)", "users"),
        ("def f(scope: str): return select(users).where(users.c.organization_id == scope)", "users"),
        ("def f(scope: Scope | None): return select(users).where(users.c.organization_id == scope.x)", "users"),
        ("async def f(id): return select(_keys).where(_keys.c.id == id)", "api_keys"),
        ("def f(id):\n    invites = tables.invites\n    return select(invites.c.id)", "invites"),
        ("def f(id):\n    a, b = tables.invites, tables.users\n    return select(b.c.id)", "users"),
        ("def f(id):\n    if (row := select(_keys)):\n        pass", "api_keys"),
        ("async def f(id):\n    async with x() as y:\n        await y.execute(delete(users))", "users"),
        ("def f(id):\n    for x in a:\n        update(users).values(role=x)", "users"),
        ("def f(id):\n    try:\n        pass\n    finally:\n        insert(users)", "users"),
        ("def f(id): return users.delete()", "users"),
        ("def f(id): return tables.users.update()", "users"),
        ("import sqlalchemy as sa\ndef f(id): return sa.select(users)", "users"),
        ("from sqlalchemy.dialects import postgresql\ndef f(x): return postgresql.insert(users)", "users"),
        ("def f(table, id): return select(table)", "a table that is not told"),
        ("async def f(change: Change, id): await change.connection.execute(delete(users))", "users"),
        ("def f(caller: Principal): return select(_keys).where(_keys.c.id == caller.key_id)", "api_keys"),
        ("def f(scope: Scope, id):\n    check(scope)\n    return select(users)", "users"),
    ],
)
def test_a_query_on_what_is_somebodys_needs_a_scope(code: str, table: str):
    assert found(code) == [("f", table)]


@pytest.mark.parametrize(
    "code",
    [
        "def f(scope: Scope): return select(users).where(users.c.organization_id == scope.organization_id)",
        "def f(scope: 'Scope'): return select(users).where(users.c.organization_id == scope.organization_id)",
        "def f(*, scope: Scope): return select(users).where(is_mine(scope))",
        "def f(change: Change): return insert(users).values(organization_id=change.scope.organization_id)",
        "def f(caller: Principal): return delete(users).where(of(caller.scope))",
        "def f(scope: Scope):\n    mine = users.c.x == scope.organization_id\n    return select(users).where(mine)",
        "def f(scope: Scope):\n    q = select(users)\n    q = q.where(of(scope))\n    return q",
        "def f(scope: Scope):\n    xs = []\n    xs.append(of(scope))\n    return select(users).where(*xs)",
        "def f(scope: Scope):\n    for row in mine(scope):\n        update(users).where(users.c.id == row.id)",
        "def f(scope: Scope):\n    def g(): return select(users).where(of(scope))\n    return g",
        "def f(): return select(tables.organizations)",
        "def f(): return update(tables.epochs)",
        "def f(): return select(tables.organizations.c.id).where(tables.organizations.c.name == 'x')",
        "def f(service, id): return service.delete(id)",
        "def f(values): values.update(x=1)",
    ],
)
def test_a_query_that_a_scope_goes_into_is_fine(code: str):
    assert found(code) == []


def test_a_query_outside_of_functions_and_in_a_method_is_found():
    code = "class A:\n    def f(self): return select(users)\nQUERY = select(users)"
    assert sorted(found(code)) == [("A.f", "users"), ("the module", "users")]


def test_what_is_found_is_told_with_its_place_and_what_to_do(tmp_path: Path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "bad.py").write_text(HEAD + "\ndef f():\n    return select(users)\n")
    (line,) = problems(tmp_path, {})
    assert line.startswith(f"{tmp_path}/store/bad.py:10: f asks for users of any organization. Take a `scope: Scope`")
    assert "'store/bad.py::f'" in line
    assert problems(tmp_path, {"store/bad.py::f": "a reason"}) == []


def test_an_exception_that_nothing_needs_is_told(tmp_path: Path):
    assert problems(tmp_path, {"store/gone.py::f": "a reason"}) == [
        "store/gone.py::f need not be in ALLOWED any more: take it out."
    ]
