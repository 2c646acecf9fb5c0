from pathlib import Path

import click
from click.testing import CliRunner

from refuseu.core.options import path_option


@click.command()
@click.argument("config", is_eager=True)
@path_option("--out", "models/dpo/{config}", "Where it goes.")
def command(config: str, out: Path) -> None:
    assert isinstance(out, Path)
    click.echo(out.as_posix())


def test_an_option_is_a_path_with_a_default() -> None:
    assert CliRunner().invoke(command, ["balanced", "--out", "models/base"]).output == "models/base\n"
    assert CliRunner().invoke(command, ["balanced"]).output == "models/dpo/balanced\n"
    described = CliRunner().invoke(command, ["--help"]).output
    assert "Where it goes.  [default: models/dpo/{config}]" in described


def test_braces_in_a_path_that_is_given_stay_as_they_are() -> None:
    assert CliRunner().invoke(command, ["balanced", "--out", "a/{b}"]).output == "a/{b}\n"
