"""The checker of the documents: silent on ours, loud on each thing it is there to find."""

from pathlib import Path

import pytest

from scripts import check_docs

ROOT = Path(__file__).parents[3]

TESTS = """
import pytest

async def test_here(): ...

def helper(): ...

@pytest.mark.skip(reason="later")
def test_skipped(): ...

class TestGroup:
    @pytest.mark.parametrize("n", [1, 2])
    def test_inside(self, n): ...
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A small project of which every document is true."""
    write(tmp_path / "tests/unit/test_thing.py", TESTS)
    write(tmp_path / "src/antiphon/__init__.py", '__version__ = "1.2.3"\n')
    write(tmp_path / "CHANGELOG.md", "# Changelog\n\n## Unreleased\n\n## 1.2.3 (2026-11-22)\n\n## 1.2.2\n")
    write_rows(tmp_path, "| It is so. | `tests/unit/test_thing.py::test_here` |")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_rows(house: Path, *rows: str) -> None:
    write(house / "docs/behavior.md", "\n".join(["# Behaviour", "", "| promise | test |", "|---|---|", *rows, ""]))


def test_the_documents_are_true():
    assert check_docs.problems(ROOT) == []


@pytest.mark.parametrize(
    "row",
    [
        "| It is so. | `tests/unit/test_thing.py::test_here` |",
        "| It is so. | `tests/unit/test_thing.py::TestGroup::test_inside` |",
        "| `a \\| b` is so. | `tests/unit/test_thing.py::test_here` `tests/unit/test_thing.py::test_here` |",
    ],
)
def test_a_good_row_is_no_problem(house: Path, row: str):
    write_rows(house, row)
    assert check_docs.problems(house) == []


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("| It is so. | `tests/unit/test_gone.py::test_here` |", "tests/unit/test_gone.py does not exist"),
        ("| It is so. | `tests/unit/test_thing.py::test_gone` |", "tests/unit/test_thing.py has no test test_gone"),
        ("| It is so. | `tests/unit/test_thing.py::helper` |", "has no test helper"),
        ("| It is so. | `tests/unit/test_thing.py::test_inside` |", "has no test test_inside"),
        ("| It is so. | `tests/unit/test_thing.py::test_skipped` |", "has no test test_skipped"),
        ("| It is so. | `tests/unit/test_thing.py::TestGroup::test_inside[1]` |", "is not of the form"),
        ("| It is so. | `tests/unit/test_thing.py` |", "is not of the form"),
        ("| It is so. | by hand |", "names no test"),
        ("| It is so. |  |", "a row is"),
        ("| It is so. | a | b |", "a row is"),
    ],
)
def test_a_bad_row_is_a_problem(house: Path, row: str, problem: str):
    write_rows(house, row)
    [found] = check_docs.problems(house)
    assert found.startswith("docs/behavior.md:5: ")
    assert problem in found


def test_a_table_with_another_header_is_a_problem(house: Path):
    write(house / "docs/behavior.md", "| claim | proof |\n|---|---|\n")
    assert check_docs.problems(house) == ["docs/behavior.md:1: a table of promises is headed | promise | test |"]


@pytest.mark.parametrize("link", ["[x](gone.md)", "![x](docs/gone.png)", "[x]: gone.md", "[x](docs/behavior.md#gone)"])
def test_a_dead_link_is_a_problem(house: Path, link: str):
    write(house / "README.md", f"# Title\n\n{link}\n")
    [found] = check_docs.problems(house)
    assert found.startswith("README.md:3: ")


@pytest.mark.parametrize(
    "link",
    [
        "[x](docs/behavior.md#behaviour)",
        "[x](#title-its-rest)",
        "[x](https://example.com/y)",
        "`[x](gone.md)`",
        "[x](docs)",
    ],
)
def test_a_live_link_is_no_problem(house: Path, link: str):
    write(house / "README.md", f"# Title: its rest\n\n{link}\n\n```\n[x](gone.md)\n```\n")
    assert check_docs.problems(house) == []


def test_a_long_module_is_a_problem(house: Path):
    write(house / "src/antiphon/core/long.py", "x = 1\n" * 401)
    [found] = check_docs.problems(house)
    assert found.startswith("src/antiphon/core/long.py: 401 lines")


def test_a_changelog_behind_the_package_is_a_problem(house: Path):
    write(house / "src/antiphon/__init__.py", '__version__ = "1.3.0"\n')
    assert check_docs.problems(house) == ["CHANGELOG.md: its top version is 1.2.3, the package's 1.3.0"]


def test_tagged_blocks_are_found(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("```bash\na\n```\n\n```bash test\nb\n\nc\n```\n\n~~~bash test\nd\n```\n~~~\n")
    assert check_docs.blocks(page, "bash test") == [
        check_docs.Block(6, "b\n\nc\n"),
        check_docs.Block(12, "d\n```\n"),
    ]
