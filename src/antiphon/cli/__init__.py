"""The command line. Each command is a file; none is imported before it is asked for."""

import gc

_NUM_OBJECTS_OF_A_START = 200_000


def main() -> None:
    gc.set_threshold(
        _NUM_OBJECTS_OF_A_START
    )  # what is imported stays: a tenth of a start went into looking for garbage
    from antiphon.cli.main import app

    app()
