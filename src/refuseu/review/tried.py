"""The log of settings that were tried: a line a trained config, with its scores on dev. ``make dev`` ends with it.

A setting is chosen on the dev part, and what was tried and not taken is part of how a result came about. So each look at dev
leaves a line in Git: which commit, which parameters differed from it, which seeds, and what came out.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
from pydantic import TypeAdapter

from refuseu.core.errors import UserError
from refuseu.core.files import write_text
from refuseu.core.terminal import say
from refuseu.results.outputs import Averages, Measurements, main_models, read
from refuseu.results.spreadsheet import csv_text, written_cell
from refuseu.review.changes import parameters_at
from refuseu.review.revisions import commit_of

LOG = Path("docs/settings-tried.csv")
RATES = ("asr", "over_refusal", "language_consistency")
SETTING = ("commit", "profile", "config", "seeds", "changed")
"""The columns that say what was tried; the same setting again replaces its line."""
COLUMNS = (*SETTING, *(f"{rate}{end}" for rate in RATES for end in ("", "_low", "_high")))
NO_SETTING = ("profile", "eval", "report", "train.seeds", "train.single")
"""Parameters that make no model another one, or have a column of their own."""


def changed(config: str, before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """The parameters that concern the model ``config`` and are not those of the commit, ``key=value`` each."""
    keys = [key for key in dict.fromkeys([*now, *before]) if before.get(key) != now.get(key) and _concerns(key, config)]
    return "; ".join(f"{key}={now.get(key, '')}" for key in keys)


def _concerns(key: str, config: str) -> bool:
    own = f"train.configs.{config}"
    others = key.startswith("train.configs.") and not f"{key}.".startswith(f"{own}.")
    return not others and not any(f"{key}.".startswith(f"{name}.") for name in NO_SETTING)


def line(setting: Mapping[str, Any], averages: Measurements) -> dict[str, str]:
    """A line of the log. ASR is as published: what could not be judged is no success; its interval covers both bounds."""
    scores = {"asr": averages.asr_lower_bound, **{rate: averages[rate] for rate in RATES[1:]}}
    numbers = {
        name: value
        for rate in RATES
        for name, value in (
            (rate, scores[rate]),
            *((f"{rate}_{end}", averages[f"{rate}_{end}"]) for end in ("low", "high")),
        )
    }
    found = {**setting, **{name: "" if value is None else f"{value:.1f}" for name, value in numbers.items()}}
    return {column: str(found[column]) for column in COLUMNS}


def with_lines(log: str, lines: Iterable[dict[str, str]]) -> str:
    """The log with ``lines`` behind those that it has; a setting that it has already keeps its place and gets the new numbers.

    Raises:
        UserError: when the log is of another shape.
    """
    reader = csv.DictReader(io.StringIO(log))
    if reader.fieldnames and tuple(reader.fieldnames) != COLUMNS:
        raise UserError(
            f"{LOG}: its first line is not {','.join(COLUMNS)}; 'git restore {LOG}' brings back the last one"
        )
    there = [{name: written_cell(cell or "") for name, cell in row.items()} for row in reader]
    found = {tuple(row[name] for name in SETTING): row for row in [*there, *lines]}
    return csv_text(COLUMNS, ([row[name] for name in COLUMNS] for row in found.values()), end="\n")


@click.command(help=__doc__)
@click.option("--averages", default=".cache/dev/plots/averages.json", show_default=True, type=Path)
def main(averages: Path) -> None:
    found = read(averages, TypeAdapter(dict[str, Averages]), "eval")
    before, now = parameters_at("HEAD"), parameters_at(None)
    common = {"commit": commit_of("HEAD")[:7], "profile": now["profile"]}
    lines = [
        line(common | {"config": name, "seeds": now["train.seeds"], "changed": changed(name, before, now)}, found[name])
        for name in main_models(found)[1:]
    ]
    write_text(with_lines(LOG.read_text() if LOG.exists() else "", lines), LOG)
    say(f"{LOG}: {len(lines)} configs noted; commit it with the setting that you choose.")


if __name__ == "__main__":
    main()
