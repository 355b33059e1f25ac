"""Append-only files in the data folder: what is written here outlives the process, though not a power failure.

Each process has a folder of its own, locked while it lives, and in it pieces that are numbered. A piece begins with the
calls that were open when it was begun, so the last one knows all that are open.
"""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from antiphon.core.ids import new_id

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_CLOSED = -1


class Journal:
    """The lines of this process. Not for threads: every step is done when it returns."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError if nothing can be written in `folder`."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone_in(folder):
            self._home = folder / new_id("journal")
            self._home.mkdir(mode=0o700)
            self._lock = _lock(self._home)
        self._number = 0
        self._file = _CLOSED
        self._is_torn = False
        self.size_bytes = 0
        self.renew(b"")

    def write(self, lines: bytes) -> None:
        """All of `lines`, or OSError and none of them."""
        if self._is_torn:
            self._mend()
        written = os.write(self._file, lines)
        if written < len(lines):
            self._is_torn = True
            self._mend()
            raise OSError("only a part of a line could be written")
        self.size_bytes += written

    def _mend(self) -> None:
        os.ftruncate(self._file, self.size_bytes)
        self._is_torn = False

    def renew(self, lines: bytes) -> Path:
        """Begin a new piece with `lines`; the path of the last one. OSError: all is as it was."""
        fresh = self._home / "new"
        try:
            fresh.write_bytes(lines)
            file = os.open(fresh, _FLAGS)
            fresh.rename(self._path(self._number + 1))
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
        if self._file != _CLOSED:
            os.close(self._file)
        self._file, self._is_torn, self.size_bytes = file, False, len(lines)
        self._number += 1
        return self._path(self._number - 1)

    def _path(self, number: int) -> Path:
        return self._home / f"{number:09d}.jsonl"

    def close(self, *, is_needed: bool) -> None:
        """`is_needed`: keep what is written, for the next start to find. Later writes fail."""
        if self._file == _CLOSED:
            return
        os.close(self._file)
        self._file = _CLOSED
        if not is_needed:
            self._path(self._number).unlink()
            self._home.rmdir()
        os.close(self._lock)


class Abandoned:
    """The journal of a process that is dead. It is held, so that nobody else takes it up."""

    def __init__(self, home: Path, lock: int) -> None:
        self.home = home
        self._lock = lock

    @property
    def pieces(self) -> list[Path]:
        """In the order in which they were written."""
        return sorted(self.home.glob("*.jsonl"))

    def remove(self) -> None:
        for path in self.home.iterdir():
            path.unlink()
        self.home.rmdir()
        self.release()

    def release(self) -> None:
        """Leave what is left of it to the next start."""
        os.close(self._lock)


def abandoned(folder: Path) -> list[Abandoned]:
    """The journals in `folder` that nobody writes any more."""
    found: list[Abandoned] = []
    with _alone_in(folder):
        for home in sorted(path for path in folder.iterdir() if path.is_dir()):
            with suppress(BlockingIOError):
                found.append(Abandoned(home, _lock(home)))
    return found


@contextmanager
def _alone_in(folder: Path) -> Generator[None]:
    """Between making a journal's folder and locking it, nobody looks for dead ones."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _lock(home: Path) -> int:
    """Lock `home` for as long as this process lives, or raise BlockingIOError at once."""
    lock = os.open(home, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(lock)
        raise
    return lock
