"""Align the base by DPO on one config's preference pairs."""

from pathlib import Path

import click

from refuseu.engines.reference import ModelReference
from refuseu.files.options import path_option
from refuseu.files.writing import write_json
from refuseu.parameters.dpo import DpoParameters
from refuseu.parameters.loading import load
from refuseu.parameters.training_machine import load_training_machine
from refuseu.records.mix import MIX
from refuseu.records.schema import read_table
from refuseu.training.dpo import train_dpo


@click.command(help=__doc__)
@path_option("--mix")
@path_option("--base")
@path_option("--out")
@path_option("--metrics")
@path_option("--plots")
def main(mix: Path, base: Path, out: Path, metrics: Path, plots: Path) -> None:
    parameters = load(DpoParameters)
    machine = load_training_machine()
    summary, curves = train_dpo(
        read_table(mix, MIX), ModelReference.read(base), parameters.dpo, machine, parameters.seed, out
    )
    write_json(curves, plots)
    write_json(summary, metrics)


if __name__ == "__main__":
    main()
