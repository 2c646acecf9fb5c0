"""Compares a run's results with those of the last commit: ``python -m refuseu.commands.verify``, the heart of ``make verify``.

Exit codes: 0 where the bytes are the same or no conclusion differs, and where the results are of other parameters and nothing is
compared; 1 where a conclusion differs, files are missing, or nobody can tell.
"""

import click

from refuseu.core.terminal import say, tolerate_encodings
from refuseu.review.verify import other_parameters, verify


@click.command(help=__doc__)
def main() -> None:
    tolerate_encodings()
    others = other_parameters()
    if others:
        say(
            f"These results are of other parameters than the last commit's, so nothing is compared: {'; '.join(others)}"
        )
        return
    found = verify()
    say("\n".join(found.lines()))
    raise SystemExit(0 if found.holds else 1)


if __name__ == "__main__":
    main()
