"""Align the base by DPO on the preference pairs of one mix, in the order that a seed decides."""

import os
import sys
from pathlib import Path

import click

from refuseu.core.files import write_json
from refuseu.core.options import path_option
from refuseu.core.schema import read_table
from refuseu.core.sections import load
from refuseu.dpo.launching import first_process, launched, reporting, take_one_gpu
from refuseu.dpo.machine import load_training_machine
from refuseu.dpo.mix import MIX
from refuseu.dpo.nodes import start_training
from refuseu.dpo.settings import DpoParameters
from refuseu.dpo.train import train_dpo
from refuseu.weights.reference import ModelReference


@click.command(help=__doc__)
# A mix of params.yaml and one of its seeds, which the paths are named after.
@click.argument("config", is_eager=True)
@click.argument("seed", is_eager=True, type=click.IntRange(0, 2**32 - 1))
@path_option("--mix", "data/split/dpo/{config}.parquet")
@path_option(
    "--dev", "data/split/dev-pairs.parquet", "Pairs that the training is evaluated on, where dpo.eval_every is set."
)
@path_option("--base", "models/base")
@path_option("--out", "models/dpo/{config}/{seed}")
@path_option("--metrics", "metrics/dpo/{config}/{seed}.json")
@path_option("--plots", "plots/dpo/{config}/{seed}.json")
def main(config: str, seed: int, mix: Path, dev: Path, base: Path, out: Path, metrics: Path, plots: Path) -> None:
    parameters, machine = load(DpoParameters), load_training_machine()
    if machine.devices > 1 and not launched():
        start_training(machine, parameters.dpo.bf16, Path(__file__), sys.argv[1:])
        return
    take_one_gpu(machine)
    with reporting():
        summary, curves = train_dpo(
            read_table(mix, MIX),
            ModelReference.read(base),
            parameters.dpo,
            machine,
            seed,
            out,
            parameters.variables,
            stage=os.environ.get("DVC_STAGE", f"dpo {config} {seed}"),
            dev=read_table(dev, MIX) if parameters.dpo.eval_every else None,
        )
    if first_process():
        write_json(curves, plots)
        write_json(summary, metrics)


if __name__ == "__main__":
    main()
