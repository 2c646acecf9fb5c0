"""Runs the profile smollm2 on the last commit, in a clone of its own, and writes its results into docs/: ``make real-model``.

The clone lies in ``.cache/real-model``, so the workspace's own results stay. It keeps what was finished: after a stop, the same
command goes on from there, and on a later commit it reruns what that commit changed.
"""

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from ruamel.yaml import YAML

from refuseu.commands.repro import reproduce
from refuseu.core.errors import UserError
from refuseu.core.files import atomic, write_between
from refuseu.core.terminal import say, tolerate_encodings
from refuseu.review.processes import git, reason

CLONE = Path(".cache/real-model")
PAGE, FIGURE = Path("docs/real-model.md"), Path("docs/real-model.png")
BEGIN, END = "<!-- generated: make real-model -->", "<!-- end of generated -->"
"""The lines of ``PAGE`` between which the results stand."""
PROFILE = "smollm2"

Values = dict[str, dict[str, Any]]
"""By file, the parameters that are set, by their keys with dots."""

SIZE: Values = {
    "params.yaml": {
        "profile": PROFILE,
        "languages": ["en", "de", "fr", "pl"],
        "train.seeds": [0, 1],
        "train.single": [],
        "train.configs": {"balanced": {"languages": "all"}, "english-only": {"languages": ["en"]}},
        "report.benign_pairs": None,
    },
    f"profiles/{PROFILE}.yaml": {"rainbow-teaming.iterations": 20},
}
"""Hours on two cores: all categories and styles, one test question of each cell."""
TINY: Values = {
    "params.yaml": SIZE["params.yaml"]
    | {
        "languages": ["en", "de"],
        "categories": {"S2": "Non-Violent Crimes", "S6": "Specialized Advice"},
        "styles": {"slang": "Slang", "role_play": "Role play"},
        "train.configs": {"balanced": {"languages": "all"}, "english-only": {"languages": ["en"]}},
        "train.languages": ["en"],
    },
    f"profiles/{PROFILE}.yaml": {
        "rainbow-teaming.iterations": 3,
        "rainbow-teaming.mutations": 16,
        "rainbow-teaming.elites_per_cell": 6,
        "split.dev_per_category": 1,
        "respond.rejected.max_new_tokens": 16,
        "dpo.steps": 2,
        "dpo.batch_size": 4,
        "eval.max_new_tokens": 16,
    },
}
"""Minutes, and numbers that say nothing: whether everything runs."""
SECTIONS = (
    "How far to believe this",
    "Table 2: safety and quality",
    "The worst language of each number",
    "Rows of every stage",
)
"""What the page takes of the run's ``report.md``: a part with all its sections, or a section alone."""


def clone(commit: str, folder: Path) -> None:
    """Have ``commit`` of this repository in ``folder``, with the outputs of an earlier run that are there.

    Raises:
        UserError: when Git cannot.
    """
    if not (folder / ".git").is_dir():
        shutil.rmtree(folder, ignore_errors=True)
        _git("clone", "--quiet", "--no-checkout", ".", str(folder))
    _git("-C", str(folder), "fetch", "--quiet", "origin", commit)
    _git("-C", str(folder), "checkout", "--quiet", "--force", "--detach", commit)


def _git(*arguments: str) -> str:
    asked = git(*arguments)
    if asked.returncode:
        raise UserError(f"git {arguments[0]}: {reason(asked)}")
    return asked.stdout.strip()


def committed() -> str:
    """The last commit; the page's figures are of its code.

    Raises:
        UserError: when files of the code, or parameters, are changed and not committed.
    """
    changed = _git(
        "status", "--porcelain", "--untracked-files=no", "--", "src", "stages", "profiles", "params.yaml", "dvc.yaml"
    )
    if changed:
        file = changed.splitlines()[0].split(maxsplit=1)[1]
        raise UserError(
            f"{file}: changed and not committed; the page names a commit, so commit or stash your changes first"
        )
    return _git("rev-parse", "HEAD")


def set_values(folder: Path, values: Values) -> None:
    """Write the parameters of ``values`` into the files of ``folder``."""
    yaml = YAML()
    for file, changed in values.items():
        content = yaml.load(folder / file)
        for key, value in changed.items():
            *parents, name = key.split(".")
            section = content
            for parent in parents:
                section = section[parent]
            section[name] = value
        with atomic(folder / file) as temporary:
            yaml.dump(content, temporary)


def run_pipeline(folder: Path) -> None:
    """Run the pipeline in ``folder``, whose stages find this environment's Python first.

    Raises:
        UserError: when a stage fails; by then it has said why.
        SystemExit: after a signal, when all that was started has ended.
    """
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    try:
        with contextlib.chdir(folder):
            reproduce()
    except UserError as error:
        said = error.message.partition(";")[0]
        raise UserError(f"the run in {folder} stopped ({said}); the same command goes on from there") from None


def results(report: str, commit: str, values: Values, tiny: bool) -> str:
    """What stands between the marks: of which commit the figures are, how large the run was, and parts of its report."""
    settings = [
        f"`{file}`: {key} = {_short(value)}" for file, changed in values.items() for key, value in changed.items()
    ]
    warning = "**This run was tiny (`--tiny`): it shows that the command works, and its numbers say nothing.**\n\n"
    return "\n\n".join(
        [
            f"{warning if tiny else ''}These figures are of commit `{commit[:7]}`, made by `make real-model`, which set:",
            "\n".join(f"- {line}" for line in settings),
            f"![ASR by language]({FIGURE.name})",
            *parts(report),
        ]
    )


def _short(value: Any) -> str:
    match value:
        case list():
            return f"[{', '.join(map(str, value))}]"
        case dict():
            return ", ".join(map(str, value))
        case None:
            return "null"
        case _:
            return str(value)


def parts(report: str) -> Iterator[str]:
    """The ``SECTIONS`` of a report, in its order; a section that the run had nothing for is left out."""
    blocks = re.split(r"^(?=##+ )", report, flags=re.MULTILINE)
    inside = 0
    for block in blocks:
        found = re.match(r"(##+) (.*)", block)
        if not found:
            continue
        level, title = len(found[1]), found[2]
        inside = inside if inside and level > inside else level if title in SECTIONS else 0
        if inside:
            yield block.strip()


@click.command(help=__doc__)
@click.option("--tiny", is_flag=True, help="A run of some minutes, to see that everything works.")
def main(tiny: bool) -> None:
    tolerate_encodings()
    commit, values = committed(), TINY if tiny else SIZE
    clone(commit, CLONE)
    set_values(CLONE, values)
    run_pipeline(CLONE)
    write_between(results((CLONE / "report.md").read_text(), commit, values, tiny), PAGE, BEGIN, END)
    shutil.copyfile(CLONE / "plots/figures/figure2.png", FIGURE)
    say(f"Written: {PAGE} and {FIGURE}, of commit {commit[:7]}.")


if __name__ == "__main__":
    main()
