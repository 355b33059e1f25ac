"""The child's main program: takes jobs from stdin, one at a time, until it ends or somebody kills it.

What it reads comes from anyone. It holds no secret, may write no file, and has limits on memory and processor time that
the kernel keeps.
"""

import importlib
import os
import resource
import signal
import sys
from binascii import Error as BadBase64
from binascii import a2b_base64
from collections.abc import Mapping
from typing import Any, BinaryIO

from antiphon.media.child import frames
from antiphon.media.child.frames import Frame
from antiphon.media.child.refusal import Refusal

_JOBS = {"image": "image", "pdf": "pdf", "text": "ocr"}
_NICENESS = 5
"""Whoever waits for a reply comes before whoever waits for a picture."""


def main() -> None:
    jobs, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    _limit(frames.read(jobs))
    data = b""
    while job := frames.read(jobs):
        data = data if job.fields["is_same"] else job.data
        if not _do_within(job._replace(data=data), answers):
            return


def _limit(first: Frame | None) -> None:
    limits: Mapping[str, Any] = first.fields if first else {}
    resource.setrlimit(resource.RLIMIT_AS, (limits["memory_bytes"],) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    os.nice(_NICENESS)


def _do_within(job: Frame, answers: BinaryIO) -> bool:
    """The kernel ends the process where it takes more processor time than it may."""
    signal.setitimer(signal.ITIMER_PROF, job.fields["cpu_s"])
    try:
        return _do(job, answers)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _do(job: Frame, answers: BinaryIO) -> bool:
    """Whether the process is still good for another job."""
    try:
        data = _decoded(job.data) if job.fields["is_base64"] else job.data
        frames.write(answers, _work(job.fields)(data, job.fields))
    except Refusal as refusal:
        frames.write(answers, Frame({"refused": refusal.reason, **refusal.facts}))
    except BadBase64:
        frames.write(answers, Frame({"refused": "base64"}))
    except MemoryError:
        frames.write(answers, Frame({"refused": "broken", "is_last": True}))
        return False
    except Exception as error:  # these libraries raise anything, and so may we
        frames.write(answers, Frame({"refused": "broken", "raised": type(error).__name__}))
    return True


def _decoded(text: bytes) -> bytes:
    return a2b_base64(text.translate(None, b" \t\r\n"), strict_mode=True)


def _work(fields: Mapping[str, Any]) -> Any:
    return importlib.import_module(f"antiphon.media.child.{_JOBS[fields['job']]}").run


if __name__ == "__main__":
    main()
