"""Align the base by DPO on one config's preference pairs."""

from pathlib import Path

import click

from refuseu.config import DpoConfig, load
from refuseu.records import MIX, read_table, write_json
from refuseu.training.dpo import train_dpo


@click.command(help=__doc__)
@click.option("--mix", type=click.Path(path_type=Path), required=True)
@click.option("--base", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--metrics", type=click.Path(path_type=Path), required=True)
@click.option("--plots", type=click.Path(path_type=Path), required=True)
def main(mix: Path, base: Path, out: Path, metrics: Path, plots: Path) -> None:
    config = load(DpoConfig)
    result = train_dpo(read_table(mix, MIX), base, config.dpo, config.seed, out)
    write_json(result["curves"], plots)
    last = {name: value for name, value in result["curves"][-1].items() if name not in ("step", "learning_rate")}
    write_json({"rows": result["rows"], **last, "tokens": result["tokens"]}, metrics)


if __name__ == "__main__":
    main()
