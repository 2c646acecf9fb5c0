"""The regression gate of a pull request: ``python -m refuseu.commands.gate main``.

Compares the evaluation in the workspace (or at HEAD) with the one at the revision BASE, question by question, and fails where a
metric of the gate (attack success, unparsed answers, over-refusal, language consistency of whole answers and by line,
knowledge) got worse by more than chance.

Exit codes: 0 for no regression, 1 for a regression, 2 for a fault, such as an evaluation that is not within reach.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from refuseu.commands.terminal import tolerate_encodings
from refuseu.core.errors import UserError
from refuseu.review.gate import ALPHA, judge

REGRESSION, FAULT = 1, 2
"""Exit codes."""


@contextmanager
def faults_apart() -> Iterator[None]:
    """Let a fault have another exit code than a regression."""
    try:
        yield
    except UserError as error:
        error.show()
        raise SystemExit(FAULT) from None


@click.command(help=__doc__)
@click.argument("base")
@click.argument("head", required=False)
@click.option("--alpha", default=ALPHA, show_default=True, type=click.FloatRange(0, 1, min_open=True, max_open=True))
def main(base: str, head: str | None, alpha: float) -> None:
    tolerate_encodings()
    with faults_apart():
        verdict = judge(base, head, alpha)
    click.echo(verdict.markdown(base))
    if verdict.regressions:
        raise SystemExit(REGRESSION)


if __name__ == "__main__":
    main()
