"""What a model that cannot see is told of a picture."""

from antiphon.media.pictures import Seen


def described(seen: Seen, text: str | None) -> str:
    """`text` is what was found written in it; None if nobody has looked."""
    width, height = seen.source_size
    lines = [f'<image width="{width}" height="{height}">', _at_a_glance(seen)]
    if text:
        lines += ["The text in it, as software reads it:", text]
    elif text == "":
        lines.append("No text was found in it.")
    return "\n".join([*lines, "</image>"])


def _at_a_glance(seen: Seen) -> str:
    colours = ", ".join(f"{name} ({percent} %)" for name, percent in seen.colours)
    mostly = f" Its main colours: {colours}." if colours else ""
    return f"You cannot see this image; here is what software tells about it.{mostly}"
