"""Says what would stop a stage, as far as it can be known before the first one: ``python -m refuseu.config``."""

from pathlib import Path

import click

from refuseu.engines.identity import assert_configured
from refuseu.identification import assert_known
from refuseu.parameters.machine import load_machine
from refuseu.parameters.whole import load_all
from refuseu.phrasebook import load_phrasebooks
from refuseu.plan.missing import assert_at_hand
from refuseu.store import Store

PHRASEBOOK, MODELS = Path("data/phrasebook"), Path("models/dpo")


def check() -> None:
    """Check parameters, the machine, languages, phrasebooks, the models that lie there or are asked for, and the row store.

    Raises:
        UserError: for the first that would stop a stage.
    """
    parameters, machine = load_all(), load_machine()
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
