"""Says what would stop a stage, as far as it can be known before the first one: ``python -m refuseu.commands.config``."""

from pathlib import Path

import click

from refuseu.commands.doctor import assert_at_hand
from refuseu.commands.parameters import load_all, load_whole_machine
from refuseu.phrasebook.phrasebook import load_phrasebooks
from refuseu.store.rows import Store
from refuseu.text.identification import assert_known
from refuseu.weights.identity import assert_configured

PHRASEBOOK, MODELS = Path("data/phrasebook"), Path("models/dpo")


def check() -> None:
    """Check parameters, the machine, languages, phrasebooks, the models that lie there or are asked for, and the row store.

    Raises:
        UserError: for the first that would stop a stage.
    """
    parameters, machine = load_all(), load_whole_machine()
    assert_known(parameters.languages)
    load_phrasebooks(PHRASEBOOK, parameters.languages, parameters.categories, parameters.styles)
    assert_configured(MODELS, parameters.train.configs)
    assert_at_hand(parameters, machine)
    Store()


@click.command(help=__doc__)
def main() -> None:
    check()


if __name__ == "__main__":
    main()
