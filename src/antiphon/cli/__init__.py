"""The command line. Each command is a file; none is imported before it is asked for."""


def main() -> None:
    from antiphon.cli.main import app

    app()
