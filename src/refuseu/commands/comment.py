"""The comment on a pull request: ``python -m refuseu.commands.comment main``, as Markdown.

What changed (parameters, and every model's numbers in every language), the regression gate, and the figures before and now.
Exits as the gate does: 0 for no regression, 1 for a regression, 2 for a fault, 3 where too little could be seen; the comment is
written before.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import click

from refuseu.commands.gate import FAULT, REGRESSION, exit_code, faults_apart
from refuseu.core.errors import UserError
from refuseu.core.files import atomic, write_text
from refuseu.core.terminal import say, tolerate_encodings
from refuseu.results.markdown import Table, escape
from refuseu.review.changes import (
    ASR,
    LEGEND,
    LONGEST_NAME,
    MOST,
    RATES,
    Change,
    cells_at,
    changes,
    elided,
    headlines,
    heatmap,
    name_of,
    parameter_changes,
    parameters_at,
)
from refuseu.review.gate import CELLS, Verdict, judge, of_cells
from refuseu.review.revisions import bytes_at

FIGURES = Path("plots/figures")
SHOWN = ("figure2.png", "figure3.png", "consistency.png", "transfer.png")
MOST_BYTES = 60_000
"""GitHub takes 65,536 characters; CML adds the addresses of the figures."""


@dataclass(frozen=True)
class Block:
    """A part of the comment, which stands in it as a whole or not at all."""

    title: str
    text: str
    folded: bool = True

    def markdown(self) -> str:
        if not self.folded:
            return f"**{self.title}**\n\n{self.text}\n"
        return f"<details><summary>{self.title}</summary>\n\n{self.text}\n\n</details>\n"


def comment(heading: str, blocks: list[Block]) -> str:
    """The blocks as one text of at most ``MOST_BYTES``; the last line names those for which there was no place."""
    found, left_out = [f"{heading}\n"], []
    # What is left out is named, so the names of all are set aside.
    room = MOST_BYTES - len(heading.encode()) - 200 - sum(len(block.title.encode()) + 2 for block in blocks)
    for block in blocks:
        text = block.markdown()
        if len(text.encode()) < room:
            room -= len(text.encode()) + 1
            found.append(text)
        else:
            left_out.append(block.title)
    if left_out:
        found.append(
            f"Too long for a comment, so left out: {'; '.join(left_out)}. `make comment` and the gate print them.\n"
        )
    return "\n".join(found)


def safe(text: str) -> str:
    """``text`` such that GitHub shows it as it is and calls nobody; it may come from anybody's branch."""
    return _calling_nobody(escape(text))


def _calling_nobody(text: str) -> str:
    return text.replace("@", "@\u200b")


def table(content: Table) -> str:
    rows = [list(map(_calling_nobody, row)) for row in (content.header, *content.rows)]
    return replace(content, header=rows[0], rows=rows[1:]).markdown()


def parameters(base: str) -> Block:
    lines = parameter_changes(parameters_at(base), parameters_at(None))
    # Indented lines are code, in which nothing else has a meaning.
    said = "\n".join(f"    {line}" for line in lines)
    return Block("Parameters", said or "None changed.", folded=False)


def numbers(base: str) -> Iterator[Block]:
    """The headline of every model that differs, and the differences by language."""
    before, after = cells_at(base), cells_at(None)
    found = changes(before, after)
    yield Block("Models", _models(found, before.keys() - after.keys(), after.keys() - before.keys(), len(after)), False)
    if len(found) > MOST:
        yield Block(f"All {len(found)} models that differ", table(headlines(found)))
    for metric in RATES:
        differences = heatmap(metric, found)
        if differences is None:
            continue
        title = f"Differences in {name_of(metric)}"
        if metric is ASR:
            yield Block(title, f"{table(_first(differences))}\n\n{LEGEND}", folded=False)
            title += ", all models"
        if metric is not ASR or len(differences.rows) > MOST:
            yield Block(title, table(differences))


def _models(found: list[Change], gone: set[str], new: set[str], all_models: int) -> str:
    lines = [table(_first(headlines(found))), ""] if found else []
    same = all_models - len(new) - len(found)
    said = [f"The other {len(found) - MOST} that differ are folded below." if len(found) > MOST else ""]
    said += [f"{same} model{'s' * (same != 1)} without a difference." if same else ""]
    said += [f"Only {when}: {_names(names)}." for when, names in (("before", gone), ("now", new)) if names]
    return "\n".join([*lines, " ".join(filter(None, said))]).strip()


def _names(names: set[str]) -> str:
    first = [safe(elided(name, LONGEST_NAME)) for name in sorted(names)[:MOST]]
    return ", ".join(first) + (f" and {len(names) - MOST} more" if len(names) > MOST else "")


def _first(content: Table) -> Table:
    return replace(content, rows=content.rows[:MOST])


def gate(verdict: Verdict) -> Iterator[Block]:
    """What needs a look, and folded all averages and the languages that got worse."""
    open_rows = [*verdict.regressions, *verdict.inconclusive]
    text = verdict.summary
    if open_rows:
        text += f"\n\n{table(_first(verdict.table(open_rows)))}"
    yield Block("Gate", text, folded=False)
    if len(open_rows) > MOST:
        yield Block("All that got worse, or could have", table(verdict.table(open_rows)))
    if len(open_rows) < len(verdict.averages):
        yield Block("All differences of averages", table(verdict.table(verdict.averages)))
    if verdict.regressed_cells:
        yield Block("Single languages that got worse", f"{CELLS}\n\n{table(of_cells(verdict.regressed_cells))}")
    if verdict.notes:
        yield Block("What the gate leaves out", "\n".join(f"* {safe(note)}" for note in verdict.notes))


def figures(base: str, out: Path) -> Iterator[Block]:
    """The figures that differ, before and now; CML uploads what a comment links to, relative to the comment's own folder."""
    pictures = []
    for name in SHOWN:
        path, earlier = FIGURES / name, out.parent / f"{out.stem}-before" / name
        if not path.is_file():
            continue
        try:
            content = bytes_at(base, path)
        except UserError:
            content = b""
        if content == path.read_bytes():
            continue
        links = [f"![{name}]({Path(os.path.relpath(path, out.parent)).as_posix()})"]
        if content:
            with atomic(earlier) as temporary:
                temporary.write_bytes(content)
            links.insert(0, f"![{name} before]({Path(os.path.relpath(earlier, out.parent)).as_posix()})")
        pictures.append(f"| {links[0] if content else 'none'} | {links[-1]} |")
    if pictures:
        yield Block("Figures, before and now", "\n".join(["| before | now |", "|---|---|", *pictures]))


@dataclass
class Parts:
    """The parts of the comment; one that cannot be made says why in its place."""

    blocks: list[Block] = field(default_factory=list)
    faults: list[UserError] = field(default_factory=list)

    def add(self, title: str, made: Callable[[], Iterable[Block]]) -> None:
        try:
            self.blocks.extend(made())
        except UserError as error:
            self.faults.append(error)
            self.blocks.append(Block(title, safe(elided(error.message, 1000)), folded=False))

    def markdown(self, heading: str) -> str:
        """What is open stands above what is folded."""
        return comment(heading, sorted(self.blocks, key=lambda block: block.folded))


@click.command(help=__doc__)
@click.argument("base")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(base: str, out: Path) -> None:
    tolerate_encodings()
    parts, verdicts = Parts(), list[Verdict]()

    def judged() -> Iterator[Block]:
        verdicts.append(judge(base))
        yield from gate(verdicts[0])

    parts.add("Parameters", lambda: [parameters(base)])
    parts.add("Figures", lambda: figures(base, out))
    parts.add("Models", lambda: numbers(base))
    parts.add("Gate", judged)
    found = verdicts[0].headline if verdicts else "not compared"
    text = parts.markdown(f"## Evaluation against {safe(elided(base, LONGEST_NAME))}: {found}")
    with faults_apart():
        write_text(text, out)
    say(text)
    for fault in {each.message: each for each in parts.faults}.values():
        fault.show()
    code = exit_code(verdicts[0]) if verdicts else FAULT
    raise SystemExit(FAULT if parts.faults and code != REGRESSION else code)


if __name__ == "__main__":
    main()
