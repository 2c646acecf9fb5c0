"""The outcome of every answer, question by question: the file ``plots/eval/outcomes.json``, from which all rates follow.

The file lists each question once, with what is known of it, and then for each (rate, model, seed, language) a text with one
character a question, in the order of the questions whose kind is one of the rate's and that the language has: ``1`` where the
outcome of ``results.metrics`` holds, ``0`` where it does not, ``?`` where it is not known, ``-`` where the model was not asked.
"""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from refuseu.core.errors import UserError
from refuseu.core.faults import validated
from refuseu.core.files import read_json, write_text
from refuseu.experiment import Kind
from refuseu.results.metrics import METRICS

if TYPE_CHECKING:
    import pandas as pd

KNOWN_OF_A_QUESTION = ["behavior_id", "frame_id", "category", "style", "held_out", "held_out_frame"]
COLUMNS = ["rate", "model", "seed", "lang", "kind", "question_id", *KNOWN_OF_A_QUESTION, "outcome"]
"""``outcome`` is 1.0, 0.0, or NaN where it is not known; ``kind`` is the question's, or the column of a test of knowledge."""
LINE = ["rate", "model", "seed", "lang"]
SIGNS = {"1": 1.0, "0": 0.0, "?": float("nan")}
NOT_ASKED = "-"
WAY_OUT = "'git restore plots/eval' brings the last one in Git back, 'dvc repro eval' makes it anew"

RATES = [metric for metric in METRICS if metric.gate and not metric.unknown_of]
"""What the file holds outcomes of."""
DERIVED = [metric for metric in METRICS if metric.unknown_of]
"""Rates that count the unknown outcomes of another."""


class Question(BaseModel):
    """A question, in all languages that ask it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question_id: str
    kind: str
    behavior_id: str | None
    frame_id: str | None
    category: str | None
    style: str | None
    held_out: bool | None
    held_out_frame: bool | None
    languages: list[str] | None = None
    """Those that have it; ``None`` for all."""


class Line(BaseModel):
    """The outcomes of one rate, model and seed in one language."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: str
    model: str
    seed: int
    lang: str
    outcomes: str


class Content(BaseModel):
    """What the file holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kinds: dict[str, list[str]]
    """The kinds of questions of each rate."""
    questions: list[Question]
    outcomes: list[Line]


def outcome_rows(answers: "pd.DataFrame", knowledge: "pd.DataFrame") -> "pd.DataFrame":
    """The outcomes (``COLUMNS``) of rows of ``eval.schemas.ANSWER`` and ``KNOWLEDGE``, in their order.

    The first test of knowledge is the rate ``knowledge``, another ``knowledge_<test>``, as in ``plots/eval.json``.
    """
    import pandas as pd

    parts = []
    for metric in RATES:
        if metric.of == "knowledge":
            names = rates_of_knowledge(knowledge)
            rows = knowledge.assign(rate=knowledge["test"].map(names), kind=knowledge["test"].map(names))
        else:
            rows = metric.over(answers).assign(rate=metric.name)
        parts.append(rows.assign(outcome=metric.outcomes(rows)).reindex(columns=COLUMNS))
    return with_derived(pd.concat([part for part in parts if len(part)], ignore_index=True))


def rates_of_knowledge(knowledge: "pd.DataFrame") -> dict[str, str]:
    """What the rate of each test is called."""
    return {
        test: "knowledge" if place == 0 else f"knowledge_{test}"
        for place, test in enumerate(knowledge["test"].unique())
    }


def with_derived(rows: "pd.DataFrame") -> "pd.DataFrame":
    """``rows``, and those of the rates that count unknown outcomes."""
    import pandas as pd

    derived = []
    for metric in DERIVED:
        unknown = rows[rows["rate"] == metric.unknown_of]
        derived.append(unknown.assign(rate=metric.name, outcome=unknown["outcome"].isna().astype(float)))
    return pd.concat([rows, *derived], ignore_index=True)


def write_outcomes(rows: "pd.DataFrame", path: Path) -> None:
    """Write rows of ``COLUMNS``; a line a question and a line a text, so that Git shows what changed."""
    kept = rows[~rows["rate"].isin([metric.name for metric in DERIVED])]
    questions = _questions(kept)
    kinds = {str(rate): sorted(found.unique()) for rate, found in kept.groupby("rate", sort=False)["kind"]}
    signs = kept["outcome"].map({1.0: "1", 0.0: "0"}).fillna("?")
    lines = []
    for key, found in signs.groupby([kept[column] for column in LINE], sort=False):
        rate, *_, lang = key
        by_question = dict(zip(kept.loc[found.index, "question_id"], found, strict=True))
        text = "".join(by_question.get(each.question_id, NOT_ASKED) for each in _sheet(questions, kinds[rate], lang))
        lines.append({**dict(zip(LINE, key, strict=True)), "outcomes": text})
    parts = {
        "kinds": json.dumps(kinds),
        "questions": _listed(each.model_dump(exclude_defaults=True) for each in questions),
        "outcomes": _listed({**line, "seed": int(line["seed"])} for line in lines),
    }
    write_text("{\n" + ",\n".join(f'"{name}": {text}' for name, text in parts.items()) + "\n}\n", path)


def _questions(rows: "pd.DataFrame") -> list[Question]:
    """Each question once, by kind and name."""
    everywhere = set(rows["lang"])
    languages = rows.groupby(["kind", "question_id"], observed=True)["lang"].agg(set)
    found = rows.drop_duplicates(["kind", "question_id"]).sort_values(["kind", "question_id"])
    columns = ["kind", "question_id", *KNOWN_OF_A_QUESTION]
    known = found[columns].astype(object).where(found[columns].notna(), None)
    return [
        Question(**each, languages=None if here == everywhere else sorted(here))
        for each in known.to_dict("records")
        for here in [languages[each["kind"], each["question_id"]]]
    ]


def _sheet(questions: list[Question], kinds: list[str], lang: str) -> list[Question]:
    """The questions that the characters of a text stand for."""
    return [each for each in questions if each.kind in kinds and (each.languages is None or lang in each.languages)]


def _listed(rows: Iterable[dict[str, Any]]) -> str:
    """A JSON list with a line a row."""
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]"


def read_outcomes(path: Path) -> "pd.DataFrame":
    """The rows (``COLUMNS``) of a file that ``eval`` wrote.

    Raises:
        UserError: when it is missing, is not JSON, or has another shape.
    """
    return parsed_outcomes(read_json(path), path)


def parsed_outcomes(content: Any, path: Path | str) -> "pd.DataFrame":
    """The same of the file's content, which may be that of another revision; ``path`` names it in errors.

    Raises:
        UserError: when it has another shape.
    """
    import pandas as pd

    found = validated(Content, content, path, WAY_OUT)
    if fault := _fault(found):
        raise UserError(f"{path}: {fault}; {WAY_OUT}")
    table = pd.DataFrame([each.model_dump(exclude={"languages"}) for each in found.questions])
    place = {(each.kind, each.question_id): number for number, each in enumerate(found.questions)}
    places: dict[tuple[str, str], list[int]] = {}
    parts = []
    for line in found.outcomes:
        if (line.rate, line.lang) not in places:
            sheet = _sheet(found.questions, found.kinds.get(line.rate, []), line.lang)
            places[line.rate, line.lang] = [place[each.kind, each.question_id] for each in sheet]
        asked = places[line.rate, line.lang]
        if len(line.outcomes) != len(asked) or {*line.outcomes} - {*SIGNS, NOT_ASKED}:
            raise UserError(
                f"{path}: outcomes of {line.rate}, {line.model}, seed {line.seed}, {line.lang}: not {len(asked)} signs out of "
                f"{' '.join([*SIGNS, NOT_ASKED])}; {WAY_OUT}"
            )
        parts += [
            (line.rate, line.model, line.seed, line.lang, number, SIGNS[sign])
            for number, sign in zip(asked, line.outcomes, strict=True)
            if sign != NOT_ASKED
        ]
    rows = pd.DataFrame(parts, columns=[*LINE, "place", "outcome"])
    of_questions = table.iloc[rows.pop("place")].reset_index(drop=True)
    return with_derived(pd.concat([rows, of_questions], axis="columns")[COLUMNS])


def _fault(found: Content) -> str | None:
    """The first name in the file that is not known, and what stands twice: either would leave outcomes out without a word."""
    rates, kinds = {metric.name for metric in RATES}, {kind for each in found.kinds.values() for kind in each}
    tests = {rate for rate in found.kinds if rate.startswith("knowledge")}
    for what, names, known in (
        ("rate", found.kinds, rates | tests),
        ("kind", kinds, {*Kind, *tests}),
        ("kind", [each.kind for each in found.questions], kinds),
        ("rate", [each.rate for each in found.outcomes], found.kinds),
    ):
        strange = next((name for name in names if name not in known), None)
        if strange is not None:
            return f"{what} {strange!r} is none of {', '.join(sorted(known))}"
    questions = [f"question {each.question_id}, {each.kind}" for each in found.questions]
    lines = [f"outcomes of {each.rate}, {each.model}, seed {each.seed}, {each.lang}" for each in found.outcomes]
    twice = next((name for name, count in Counter([*questions, *lines]).items() if count > 1), None)
    if twice:
        return f"{twice}: stands twice"
    return None if any(each.rate == "asr" for each in found.outcomes) else "holds no outcomes of asr"
