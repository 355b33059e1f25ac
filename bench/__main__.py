"""`python -m bench`: measure rows of performance figures, print them as a table, keep them in bench/results."""

import argparse
import signal
import sys
from pathlib import Path

from bench import report
from bench.processes import LOAD_CORE, REPO, Stage, settle
from bench.rows import REAL, ROWS
from bench.session import Bench, Options

_RESULTS = Path(__file__).parent / "results"
_MODEL = Path.home() / ".cache" / "antiphon-test-models" / "smollm2.gguf"


def main() -> None:
    given = _arguments().parse_args()
    options = _options(given)
    wanted = given.rows.split(",") if given.rows else [row for row in ROWS if row not in REAL or options.model]
    if unknown := [row for row in wanted if row not in ROWS]:
        raise SystemExit(f"bench: there is no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: told to stop"))
    settle(LOAD_CORE)
    before = report.load_and_steal()
    lines = _measure(options, wanted)
    after = report.load_and_steal()
    facts = report.environment() | {
        "command": " ".join(["python -m bench", *sys.argv[1:]]),
        "load_before": before["load"],
        "load_after": after["load"],
        "steal": report.steal_between(before, after),
    }
    text = report.render(lines, facts)
    print(text)
    print(f"kept in {report.store(lines, facts, text, given.results)}", file=sys.stderr)


def _measure(options: Options, wanted: list[str]) -> list[report.Line]:
    lines: list[report.Line] = []
    with Stage() as stage:
        bench = Bench(stage, options)
        for row in wanted:
            print(f"bench: row {row}", file=sys.stderr)
            for line in ROWS[row](bench):
                print(f"bench:   {line.what}: {report.figure_of(line)} {line.verdict}", file=sys.stderr)
                lines.append(line)
    return lines


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rows", help=f"which of {', '.join(ROWS)}, with commas; all of them otherwise")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured, taking turns")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each measurement lasts")
    parser.add_argument(
        "--peer", choices=("litellm",), help="measure it too, in an environment of its own (some minutes)"
    )
    parser.add_argument(
        "--real", action="store_true", help="with a real model too: row `real`, and the second half of 1b"
    )
    parser.add_argument("--model", type=Path, default=_MODEL, help="the GGUF of --real")
    parser.add_argument("--tuned", type=Path, help="a tuned.json for ours in --real; bare keeps the defaults")
    parser.add_argument("--source", type=Path, default=REPO / "src", help="the tree to measure")
    parser.add_argument("--against", type=Path, help="a second tree to measure beside it, round by round")
    parser.add_argument("--results", type=Path, default=_RESULTS, help="where the table is kept")
    parser.add_argument("--quick", action="store_true", help="3 rounds of half a second, for development")
    return parser


def _options(given: argparse.Namespace) -> Options:
    is_real = given.real or given.rows in REAL
    return Options(
        rounds=3 if given.quick else given.rounds,
        seconds=0.5 if given.quick else given.seconds,
        samples=30 if given.quick else 200,
        streams=200 if given.quick else 1000,
        tokens=32 if given.quick else 128,
        source=given.source.resolve(),
        against=given.against and given.against.resolve(),
        model=given.model if is_real else None,
        tuned=given.tuned,
        with_litellm=given.peer == "litellm",
    )


if __name__ == "__main__":
    main()
