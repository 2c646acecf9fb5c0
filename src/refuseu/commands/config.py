"""Checks, before the first stage, whatever would stop a later one: ``python -m refuseu.commands.config``."""

from pathlib import Path

import click

from refuseu.core.errors import UserError
from refuseu.core.terminal import tolerate_encodings
from refuseu.parameters import load_all, load_whole_machine
from refuseu.phrasebook.phrasebook import load_phrasebooks
from refuseu.plan.checks import assert_at_hand
from refuseu.review.causes import broken_file
from refuseu.store.rows import Store
from refuseu.text.identification import Py3langid, assert_known
from refuseu.weights.identity import assert_configured

PHRASEBOOK, MODELS = Path("data/phrasebook"), Path("models/dpo")


def check() -> None:
    """Check parameters, machine, languages, phrasebooks, trained models, everything that the run needs, and the row store.

    Raises:
        UserError: for the first fault that would stop a stage.
    """
    if broken := broken_file():
        raise UserError(broken)
    parameters, machine = load_all(), load_whole_machine()
    if isinstance(parameters.identifier, Py3langid):
        assert_known(parameters.languages)
    load_phrasebooks(PHRASEBOOK, parameters.languages, parameters.categories, parameters.styles)
    assert_configured(MODELS, [model.folder for model in parameters.train.runs])
    assert_at_hand(parameters, machine)
    Store()


@click.command(help=__doc__)
def main() -> None:
    tolerate_encodings()
    check()


if __name__ == "__main__":
    main()
