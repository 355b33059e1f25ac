"""The child's main program: llama.cpp's own server on loopback. Reads one line of JSON, prints one with its address.

It imports nothing of Antiphon's but this file, so that it starts fast; it never outlives the process that started it.
"""

import importlib
import json
import os
import platform
import signal
import socket
import sys
import threading
from typing import Any, TypedDict

_PR_SET_PDEATHSIG = 1
_KEEP_BATCH = 2048  # llama.cpp's own, for devices that compute it in a moment
SLOW_IN_FLASH = ("x86_64", "AMD64")  # decision 0037
_QUIET = 2  # warnings and errors; the key is logged from 4 on


class Config(TypedDict):
    """What the supervisor writes to stdin. `window` counts the tokens of each slot."""

    model: str
    window: int
    num_slots: int
    num_batch: int
    num_threads: int
    num_checkpoints: int
    flash: bool | None
    repacks: bool
    q8_keys: bool
    num_draft: int
    cache_mib: int
    save_folder: str | None
    key: str
    parent: int
    binary: str | None
    projector: str | None


def main() -> None:
    config: Config = json.loads(_read_line())
    os.umask(0o077)  # what it saves of prompts is nobody else's
    _die_with(config["parent"])
    # Threads that wait for each other spin, and stand still when another process needs their core: with OpenMP's
    # default a busy core makes the engine thirty times slower, with this eight times, and a quiet one costs 5 %.
    os.putenv("GOMP_SPINCOUNT", "2000")
    if config["binary"]:
        _become(config["binary"], config)
    answer = os.dup(1)
    os.dup2(2, 1)  # what the library prints is a log, not an answer
    server = _serve(config)
    _tell(answer, server.listening_address)
    threading.Event().wait()


def _read_line() -> bytes:
    """One line of stdin, byte by byte: what comes after it belongs to the watcher."""
    line = bytearray()
    while (byte := os.read(0, 1)) not in (b"", b"\n"):
        line += byte
    return bytes(line)


def _tell(fd: int, url: str) -> None:
    os.write(fd, json.dumps({"url": url}).encode() + b"\n")


def _die_with(parent: int) -> None:
    """End this process when its parent does: by the kernel where it can, and by a watcher of stdin, which closes then.

    A process, not a thread: loading a model holds Python's lock for as long as it takes.
    """
    if sys.platform == "linux":
        import ctypes  # the server imports this file too, and has no use for it

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the parent is gone")
    engine = os.getpid()
    if os.fork() == 0:
        _watch(engine)


def _watch(engine: int) -> None:
    os.close(1)
    while os.read(0, 64):
        pass
    if os.getppid() == engine:
        os.kill(engine, signal.SIGKILL)
    os._exit(0)


def _serve(config: Config) -> Any:
    xllamacpp: Any = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = config["model"]
    if config["projector"]:
        params.mmproj.path = config["projector"]
    params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [config["key"]]
    params.n_parallel, params.n_ctx = config["num_slots"], config["window"] * config["num_slots"]
    params.kv_unified = params.ui = params.fit_params = False
    params.verbosity = _QUIET
    params.n_batch = params.n_ubatch = config["num_batch"]
    flash = config["flash"]
    if len(xllamacpp.get_device_info()) > 1:  # more than the CPU
        params.n_batch = params.n_ubatch = _KEEP_BATCH
    elif flash is None and platform.machine() in SLOW_IN_FLASH:
        flash = False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = config["num_threads"]
    params.cache_ram_mib, params.n_ctx_checkpoints = config["cache_mib"], config["num_checkpoints"]
    params.cache_idle_slots = False  # each slot has its own window: nothing pushes out what lies in an idle one
    if flash is not None:
        params.flash_attn_type = int(flash)
    params.no_extra_bufts = not config["repacks"]
    if config["q8_keys"]:
        params.cache_type_k = xllamacpp.ggml_type.GGML_TYPE_Q8_0
    if config["num_draft"]:  # found by as many tokens as are guessed: with fewer the server guesses more, and wrongly
        params.speculative.types = [xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE]
        params.speculative.ngram_simple.size_n = params.speculative.ngram_simple.size_m = config["num_draft"]
    if config["save_folder"]:
        params.slot_save_path = config["save_folder"] + os.sep
    return xllamacpp.Server(params)


def _become(binary: str, config: Config) -> None:
    """Turn into the user's own llama-server. The key goes through a pipe: never on a command line, never on a disk."""
    port = _free_port()
    key_fd, writer = os.pipe()
    os.write(writer, config["key"].encode() + b"\n")
    os.close(writer)
    os.set_inheritable(key_fd, True)
    _tell(1, f"http://127.0.0.1:{port}")
    os.dup2(2, 1)
    os.execv(binary, [binary, *_flags(config, port, f"/dev/fd/{key_fd}")])


def _flags(config: Config, port: int, key_file: str) -> list[str]:
    """Few, and none that is new: the binary may be an old one, and knows its own devices best."""
    flags: dict[str, str | int] = {
        "--model": config["model"],
        "--host": "127.0.0.1",
        "--port": port,
        "--api-key-file": key_file,
        "--parallel": config["num_slots"],
        "--ctx-size": config["window"] * config["num_slots"],
        "--batch-size": config["num_batch"],
        "--ubatch-size": config["num_batch"],
        "--threads": config["num_threads"],
        "--cache-ram": config["cache_mib"],
    }
    if config["projector"]:
        flags["--mmproj"] = config["projector"]
    if config["save_folder"]:
        flags["--slot-save-path"] = config["save_folder"] + os.sep
    if config["flash"] is not None:
        flags["--flash-attn"] = "on" if config["flash"] else "off"
    if config["q8_keys"]:
        flags["--cache-type-k"] = "q8_0"
    if config["num_draft"]:
        flags["--spec-type"] = "ngram-simple"
        flags["--spec-ngram-simple-size-n"] = flags["--spec-ngram-simple-size-m"] = config["num_draft"]
    switches = ["--no-webui", "--jinja", *([] if config["repacks"] else ["--no-repack"])]
    return [*(word for flag in flags.items() for word in map(str, flag)), *switches]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    main()
