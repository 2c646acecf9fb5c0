"""The regression gate of a pull request: ``python -m refuseu.commands.gate main``.

Compares the evaluation in the workspace (or at HEAD) with the one at the revision BASE, over the questions that both asked, and
fails where a main model got worse on average over languages in a metric of the gate (attack success, unparsed answers,
over-refusal, language consistency of whole answers and by line, knowledge), by more than the choice of questions and of seeds
explains. It needs nothing but Git.

Exit codes: 0 for no regression, 1 for a regression, 2 for a fault, such as a revision without an evaluation, 3 where no
regression was seen but one of more than the margin could have been missed.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from refuseu.core.errors import UserError
from refuseu.core.terminal import say, tolerate_encodings
from refuseu.review.gate import ALPHA, MARGIN, Verdict, judge

REGRESSION, FAULT, INCONCLUSIVE = 1, 2, 3
"""Exit codes."""


def exit_code(verdict: Verdict) -> int:
    return REGRESSION if verdict.regressions else INCONCLUSIVE if verdict.inconclusive else 0


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
@click.option(
    "--margin",
    default=MARGIN,
    show_default=True,
    type=click.FloatRange(0, 100),
    help="In points: what must not be missed.",
)
def main(base: str, head: str | None, alpha: float, margin: float) -> None:
    tolerate_encodings()
    with faults_apart():
        verdict = judge(base, head, alpha, margin)
    say(verdict.markdown(base))
    raise SystemExit(exit_code(verdict))


if __name__ == "__main__":
    main()
