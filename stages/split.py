"""Split slots into train, dev and test without contamination, and build the DPO mix of every config."""

from pathlib import Path

import click

from refuseu.config import SplitConfig, load
from refuseu.records import KINDS, MIX, PAIR, TEST, read_table, write_json, write_table
from refuseu.splitting import assert_clean, assert_filled, assign, complete_slots, glue, mixes, parts_of, summary


@click.command(help=__doc__)
@click.option("--pairs", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--metrics", type=click.Path(path_type=Path), required=True)
def main(pairs: Path, out: Path, metrics: Path) -> None:
    config = load(SplitConfig)
    labelled = read_table(pairs, PAIR, {"lang": config.languages, "kind": KINDS})
    whole = complete_slots(labelled, config.languages)
    slots = glue(whole, config.split.near_duplicate)
    parts = parts_of(whole, assign(slots, config.split, config.seed))
    assert_filled(parts)
    report = summary(labelled, whole, parts, slots, config.split.near_duplicate)
    for name in ("train", "dev", "test"):
        write_table(parts[name], out / f"{name}.parquet", TEST, ["question_id", "lang"])
    for name, mix in mixes(parts["train"], config.train, config.languages, config.seed):
        write_table(mix, out / "dpo" / f"{name}.parquet", MIX, ["question_id", "lang"])
        report["mixes"][name] = {"rows": len(mix), "benign": int((mix["kind"] == "benign").sum())}
    assert_clean(report["contamination"])
    write_json(report, metrics)


if __name__ == "__main__":
    main()
