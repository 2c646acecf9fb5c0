"""The one way to a terminal. What others wrote cannot move its cursor, colour its text or turn it around.

A row's id, an entry of a profile or the message of a library may hold control characters, which a terminal obeys: they are shown
as their escapes (``\\x1b``).
"""

import re
import sys
from io import TextIOWrapper

import click

from refuseu.core.ending import end_as_by_ctrl_c

CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters (C0 but for the line's end and the tab, DEL, C1), those that end a line or turn its direction, and halves of
characters."""


PASSWORD = re.compile(r"(?<=://)[^/?#\s@]+@")
"""What stands before the host of an address, as a library may name it in the message of an error."""


def escaped(text: str) -> str:
    """``text`` with control characters as their escapes; line ends and tabs stay."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def shown(text: str) -> str:
    """``text`` as a terminal is given it: escaped, and without a user and a password that an address in it has."""
    return PASSWORD.sub("***@", escaped(text))


def say(text: str, err: bool = False, nl: bool = True, bold: bool = False) -> None:
    """Print a text, escaped: on stderr with ``err``, without a line's end unless ``nl``.

    It is written in one call, so that a line stays whole where another process writes to the same log.
    """
    click.echo(click.style(shown(text), bold=True) if bold else shown(text), err=err, nl=nl)


def tolerate_encodings() -> None:
    """From now on print ``?`` for what the terminal's encoding lacks, rather than fail, and end by every signal as by Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    end_as_by_ctrl_c()
