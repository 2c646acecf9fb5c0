from pathlib import Path

import click
from click.testing import CliRunner

from refuseu.files.options import path_option


@click.command()
@path_option("--out", "Where it goes.")
def command(out: Path) -> None:
    assert isinstance(out, Path)
    click.echo(out.name)


def test_an_option_is_a_path_that_must_be_given() -> None:
    assert CliRunner().invoke(command, ["--out", "models/base"]).output == "base\n"
    result = CliRunner().invoke(command, [])
    assert (result.exit_code, "Missing option '--out'" in result.output) == (2, True)
    assert "Where it goes." in CliRunner().invoke(command, ["--help"]).output
