"""The command line. Each command is a file; none is imported before it is asked for."""

import gc

_NUM_OBJECTS_OF_A_START = 500_000
"""More than twice what it makes. All of that stays: one look for garbage among it takes a tenth of the start."""


def main() -> None:
    gc.set_threshold(_NUM_OBJECTS_OF_A_START)
    from antiphon.cli.main import app

    app()
