"""The files that outlive their process."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from antiphon.ledger import journal
from antiphon.ledger.journal import Journal, abandoned


def pieces(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("*/*.jsonl"))]


def test_a_journal_that_is_not_needed_leaves_nothing(tmp_path: Path):
    own = Journal(tmp_path)
    own.write(b"one\n")
    assert pieces(tmp_path) == [b"one\n"]
    own.close(is_needed=False)
    assert list(tmp_path.iterdir()) == []


def test_a_living_process_keeps_its_journal_and_a_dead_ones_is_taken_by_one_only(tmp_path: Path):
    own, dead = Journal(tmp_path), Journal(tmp_path)
    dead.write(b"one\n")
    dead.close(is_needed=True)
    (found,) = abandoned(tmp_path)
    assert [path.read_bytes() for path in found.pieces] == [b"one\n"]
    assert abandoned(tmp_path) == []
    found.release()
    (found,) = abandoned(tmp_path)
    found.remove()
    own.close(is_needed=False)
    assert list(tmp_path.iterdir()) == []


def test_a_new_piece_begins_with_what_is_given_and_the_old_one_stays(tmp_path: Path):
    own = Journal(tmp_path)
    own.write(b"one\n")
    old = own.renew(b"open\n")
    own.write(b"two\n")
    assert old.read_bytes() == b"one\n"
    assert pieces(tmp_path) == [b"one\n", b"open\ntwo\n"]
    assert own.size_bytes == 9
    own.close(is_needed=True)


def test_a_line_that_does_not_fit_leaves_no_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    own = Journal(tmp_path)
    own.write(b"one\n")
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[: len(data) // 2]))
    with pytest.raises(OSError, match="only a part"):
        own.write(b"two, which is longer\n")
    monkeypatch.undo()
    own.write(b"three\n")
    assert pieces(tmp_path) == [b"one\nthree\n"]
    own.close(is_needed=True)


def test_a_part_that_could_not_be_taken_back_is_before_the_next_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    own = Journal(tmp_path)
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:1]))
    monkeypatch.setattr(os, "ftruncate", _full)
    with pytest.raises(OSError, match="No space"):
        own.write(b"one\n")
    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="No space"):
        own.write(b"two\n")
    monkeypatch.undo()
    own.write(b"three\n")
    assert pieces(tmp_path) == [b"three\n"]
    own.close(is_needed=True)


def _full(*_: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_piece_that_cannot_be_begun_leaves_the_old_one_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    own = Journal(tmp_path)
    monkeypatch.setattr(Path, "write_bytes", _full)
    with pytest.raises(OSError, match="No space"):
        own.renew(b"open\n")
    monkeypatch.undo()
    own.write(b"one\n")
    assert pieces(tmp_path) == [b"one\n"]
    own.close(is_needed=False)


def test_nothing_is_written_behind_its_end(tmp_path: Path):
    own = Journal(tmp_path)
    own.close(is_needed=False)
    own.close(is_needed=False)
    with pytest.raises(OSError, match="descriptor"):
        own.write(b"one\n")


_LIMITED = """
import resource, sys
from pathlib import Path
from antiphon.ledger.journal import Journal

own = Journal(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
line, num = b"x" * 300 + b"\\n", 0
try:
    while True:
        own.write(line)
        num += 1
except OSError as error:
    print(num, error.strerror or error)
own.write(b"short\\n")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="no limit on files here")
def test_a_file_that_may_not_grow_holds_whole_lines_only(tmp_path: Path):
    """The kernel takes a part of the fourth line: it is taken back, and what still fits is written."""
    command = [sys.executable, "-c", _LIMITED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "3 only a part of a line could be written\n"
    assert pieces(tmp_path) == [(b"x" * 300 + b"\n") * 3 + b"short\n"]


_CHILD = """
import sys, time
from pathlib import Path
from antiphon.ledger.journal import Journal

own = Journal(Path(sys.argv[1]))
own.write(b"one\\n")
print("ready", flush=True)
time.sleep(60)
"""


def test_the_lock_dies_with_its_process(tmp_path: Path):
    command = [sys.executable, "-c", _CHILD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        assert abandoned(tmp_path) == []
        child.kill()
    (found,) = abandoned(tmp_path)
    assert [path.read_bytes() for path in found.pieces] == [b"one\n"]
    found.remove()


def test_nobody_looks_for_dead_ones_while_one_is_made(tmp_path: Path):
    with journal._alone_in(tmp_path), pytest.raises(BlockingIOError):
        journal._lock(tmp_path)
