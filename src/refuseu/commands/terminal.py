"""What a command prints, on terminals that cannot show every language."""

import sys
from io import TextIOWrapper


def tolerate_encodings() -> None:
    """From now on print ``?`` for what the terminal's encoding does not have, rather than fail; UTF-8 has everything."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
