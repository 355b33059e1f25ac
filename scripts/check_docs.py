"""What the documents say must be so: promises name tests, links lead somewhere, versions agree, modules stay small.

`problems(root)` is the whole check. Run as a program it prints them and fails if there are any.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NUM_LINES_MAX = 400
# A longer module asks which second noun lives in it. Those that answer "none" stand here with their reason.
LONG_MODULES: dict[str, str] = {}

_HEADER = ["promise", "test"]
_CELL_BORDER = re.compile(r"(?<!\\)\|")
_CODE = re.compile(r"`([^`]*)`")
_TEST = re.compile(r"(tests/[\w/]+\.py)::([\w:]+)")
_LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)|^\[[^\]]+\]:\s*(\S+)")
_OUTSIDE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)
_FENCE = re.compile(r"^\s*(`{3,}|~{3,})(.*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block: the line its text starts on, and the text."""

    line: int
    text: str


def problems(root: Path) -> list[str]:
    return [
        *_promise_problems(root),
        *(problem for path in _documents(root) for problem in _link_problems(root, path)),
        *_length_problems(root),
        *_version_problems(root),
    ]


def blocks(path: Path, tag: str) -> list[Block]:
    """The fenced blocks whose info string is exactly `tag`, such as "bash test"."""
    found: list[Block] = []
    inside: list[str] | None = None
    start, border, info = 0, "", ""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if inside is None and fence:
            inside, start, border, info = [], number + 1, fence[1], fence[2].strip()
        elif inside is not None and fence and fence[1].startswith(border) and not fence[2].strip():
            if info == tag:
                found.append(Block(start, "".join(f"{text}\n" for text in inside)))
            inside = None
        elif inside is not None:
            inside.append(line)
    return found


def _documents(root: Path) -> list[Path]:
    return sorted([*root.glob("*.md"), *root.glob("docs/**/*.md")])


def _prose(path: Path) -> Iterator[tuple[int, str]]:
    """The numbered lines outside fenced blocks."""
    border = ""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if fence and not border:
            border = fence[1]
        elif fence and fence[1].startswith(border) and not fence[2].strip():
            border = ""
        elif not border:
            yield number, line


def _promise_problems(root: Path) -> Iterator[str]:
    path = root / "docs" / "behavior.md"
    if not path.exists():
        yield "docs/behavior.md: there is none"
        return
    is_in_table = False
    for number, line in _prose(path):
        place = f"docs/behavior.md:{number}"
        if not line.startswith("|"):
            is_in_table = False
            continue
        cells = [cell.strip() for cell in _CELL_BORDER.split(line.strip().strip("|"))]
        if not is_in_table:
            is_in_table = True
            if cells != _HEADER:
                yield f"{place}: a table of promises is headed | promise | test |"
        elif not set("".join(cells)) <= set("-: "):
            yield from (f"{place}: {problem}" for problem in _row_problems(root, cells))


def _row_problems(root: Path, cells: list[str]) -> Iterator[str]:
    if len(cells) != 2 or not all(cells):
        yield "a row is | promise | `tests/path.py::test_name` |"
        return
    tests: list[str] = _CODE.findall(cells[1])
    if not tests:
        yield "the row names no test"
    for test in tests:
        match = _TEST.fullmatch(test)
        if not match:
            yield f"`{test}` is not of the form tests/path.py::test_name"
        elif not (root / match[1]).is_file():
            yield f"{match[1]} does not exist"
        elif match[2] not in _tests(root / match[1]):
            yield f"{match[1]} has no test {match[2]}"


def _tests(path: Path) -> set[str]:
    """The tests of a file: `test_name` and `Class::test_name`. One that is always skipped keeps no promise."""
    return set(_tests_in(ast.parse(path.read_text("utf-8")).body, ""))


def _tests_in(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from _tests_in(node.body, f"{prefix}{node.name}::")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _is_run(node):
            yield prefix + node.name


def _is_run(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    is_skipped = any(re.search(r"\bmark\.skip\b", ast.unparse(decorator)) for decorator in node.decorator_list)
    return node.name.startswith("test") and not is_skipped


def _link_problems(root: Path, path: Path) -> Iterator[str]:
    for number, line in _prose(path):
        for match in _LINK.finditer(_CODE.sub("`code`", line)):
            target: str = match[1] or match[2]
            if _OUTSIDE.match(target):
                continue
            name, _, anchor = target.partition("#")
            place = path.parent / name if name else path
            if not place.exists():
                yield f"{path.relative_to(root)}:{number}: {target} does not exist"
            elif anchor and place.suffix == ".md" and anchor not in _anchors(place):
                yield f"{path.relative_to(root)}:{number}: {target} has no such heading"


def _anchors(path: Path) -> set[str]:
    headings = (line.lstrip("#").strip() for _, line in _prose(path) if line.startswith("#"))
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def _length_problems(root: Path) -> Iterator[str]:
    for path in sorted(root.glob("src/**/*.py")):
        name, num_lines = str(path.relative_to(root)), len(path.read_text("utf-8").splitlines())
        if num_lines > NUM_LINES_MAX and name not in LONG_MODULES:
            yield f"{name}: {num_lines} lines; which second noun lives in it? ({NUM_LINES_MAX} at most)"


def _version_problems(root: Path) -> Iterator[str]:
    changelog = root / "CHANGELOG.md"
    if not changelog.exists():
        return
    package = re.search(r'^__version__ = "(.+)"', (root / "src/antiphon/__init__.py").read_text("utf-8"), re.MULTILINE)
    top = re.search(r"^## \[?(\d[\w.]*)", changelog.read_text("utf-8"), re.MULTILINE)
    if not package or not top or package[1] != top[1]:
        yield f"CHANGELOG.md: its top version is {top and top[1]}, the package's {package and package[1]}"


def main() -> None:
    found = problems(Path(__file__).parents[1])
    for problem in found:
        print(problem)
    if found:
        raise SystemExit(1)
    print("docs: every promise names a test, every link leads somewhere")


if __name__ == "__main__":
    sys.exit(main())
