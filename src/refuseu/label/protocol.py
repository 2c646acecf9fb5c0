"""What the paper's protocol accepts, by the panel's verdicts on the question and both answers of each pair.

A question is kept when it is what it should be and in its language, whatever was answered: so nothing that a model answers
decides what is tested. A pair is accepted, to be trained on and published, when both answers are what they should be too.

By section 3 of the paper, both guards must call the question harmful, both must call the chosen answer a refusal and safe, at
least one must call the rejected answer harmful, and all three texts must be in the right language. Of a benign pair, the question
must be safe, the chosen answer must comply, and the rejected answer must refuse.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from refuseu.experiment import Kind
from refuseu.judges.verdict import FORBIDDEN, Harm, Reply
from refuseu.label.settings import Label
from refuseu.text.identification import Identifier

ITEMS = {"question": "text", "chosen": "chosen", "rejected": "rejected"}
"""What is judged of a pair, and the column that holds it."""
ANSWERS = ("chosen", "rejected")
FILTERS = ("question", "language", *ANSWERS, "unflagged")
"""What a pair must pass to be accepted, in order: the panel's verdict on the question and the question's language, verdict and
language of each answer, and that nobody names ``FORBIDDEN`` for any of its texts."""
QUORUM = {"all": np.all, "any": np.any}
FLAGGED = f"flagged {FORBIDDEN} by a judge"
"""Why a pair is rejected that holds a text of ``FORBIDDEN``, so that it is neither trained on nor released."""
WRONG_LANGUAGE, EMPTY = "wrong language", "empty answer"

Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]
"""Yes or no for each pair."""
Votes = dict[str, dict[str, pd.DataFrame]]
"""By item and judge, a table with the columns ``harm``, ``reply`` and ``categories`` and a row for each pair, in their order."""


@dataclass(frozen=True)
class Judged:
    """What the protocol says of each pair. All fields have a row for each pair, with its index."""

    passes: pd.DataFrame
    """Which of ``FILTERS`` (the columns) the pair passes, each looked at by itself."""
    complied: "pd.Series[bool]"
    """Whether the panel says that the answer that is no refusal did what was asked, in whatever language."""
    reason: "pd.Series[Any]"
    """The first reason against the pair, in the protocol's order; none for a pair that is accepted."""

    @property
    def kept(self) -> "pd.Series[bool]":
        """Whether the question is kept, whatever was answered."""
        return self.passes["question"] & self.passes["language"]

    @property
    def accepted(self) -> "pd.Series[bool]":
        """Whether the whole pair is accepted."""
        return self.passes.all(axis=1)


def judged(
    pairs: pd.DataFrame, right_language: Mapping[str, Flags], votes: Votes, protocol: Label, empty: Flags | None = None
) -> Judged:
    """Return what the protocol says of each pair (``schemas.PAIR``; the texts are not needed).

    Only the judges vote; the adjudicator's verdicts serve the agreement. But a text is rejected, before all else, where anybody
    who judged it names ``FORBIDDEN``. ``right_language`` is what ``in_their_language`` returns, ``empty`` what ``without_answer``
    does.
    """
    met = {item: np.zeros(len(pairs), dtype=np.bool_) for item in ITEMS}
    against = {item: np.empty(len(pairs), dtype=object) for item in ITEMS}
    for kind in Kind:
        of_kind = (pairs["kind"] == kind).to_numpy()
        for item, (reason, passed) in zip(ITEMS, _conditions(kind, votes, protocol), strict=True):
            met[item][of_kind], against[item][of_kind] = passed[of_kind], reason
    flagged = {item: _forbidden(by_judge) for item, by_judge in votes.items()}
    passes = {
        "question": met["question"] & ~flagged["question"],
        "language": right_language["question"],
        **{item: met[item] & right_language[item] for item in ANSWERS},
        "unflagged": ~np.any(list(flagged.values()), axis=0),
    }
    first_against = [
        (~passes["unflagged"], FLAGGED),
        (~right_language["question"], WRONG_LANGUAGE),
        (~met["question"], against["question"]),
        *([] if empty is None else [(empty, EMPTY)]),
        (~np.all([right_language[item] for item in ANSWERS], axis=0), WRONG_LANGUAGE),
        *[(~met[item], against[item]) for item in ANSWERS],
    ]
    first = np.empty(len(pairs), dtype=object)
    for fails, why in reversed(first_against):
        first = np.where(fails, why, first)
    harmful = (pairs["kind"] == Kind.HARMFUL).to_numpy()
    return Judged(
        pd.DataFrame(passes, index=pairs.index),
        pd.Series(np.where(harmful, met["rejected"], met["chosen"]), index=pairs.index),
        pd.Series(first, index=pairs.index, dtype=object),
    )


def sort_out(pairs: pd.DataFrame, found: Judged) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the pairs whose question is kept (``schemas.LABELLED``), and all pairs that are not accepted with their ``reason``.

    A pair may be in both: its question is kept, and its answers are not to be trained on.
    """
    marked = pairs.assign(accepted=found.accepted, complied=found.complied, reason=found.reason)
    return marked[found.kept].drop(columns="reason"), marked[~found.accepted]


def in_their_language(pairs: Iterable[pd.DataFrame], identifier: Identifier) -> dict[str, Flags]:
    """Return for each item of ``ITEMS`` whether it is in the language of its pair; an empty text is in none."""
    right: dict[str, list[bool]] = {item: [] for item in ITEMS}
    for batch in pairs:
        for item, column in ITEMS.items():
            right[item] += [
                bool(text) and identifier.restricted(text) == lang
                for lang, text in zip(batch["lang"], batch[column], strict=True)
            ]
    return {item: np.array(flags, dtype=np.bool_) for item, flags in right.items()}


def without_answer(pairs: Iterable[pd.DataFrame]) -> Flags:
    """Return whether an answer of each pair is empty, since nobody gave one."""
    flags = [(batch[list(ANSWERS)] == "").any(axis=1).to_numpy(dtype=np.bool_) for batch in pairs]
    return np.concatenate([np.zeros(0, dtype=np.bool_), *flags])


def _forbidden(by_judge: Mapping[str, pd.DataFrame]) -> Flags:
    """Where a judge says that a text is of the category ``FORBIDDEN``."""
    named = [said["categories"].str.split(",").map(_holds_forbidden) for said in by_judge.values()]
    flags: Flags = np.any(named, axis=0)
    return flags


def _holds_forbidden(categories: object) -> bool:
    return isinstance(categories, list) and FORBIDDEN in categories


def _conditions(kind: Kind, votes: Votes, protocol: Label) -> list[tuple[str, Flags]]:
    """The condition on each of ``ITEMS`` of a pair of this kind, in order: the reason against it, and which pairs meet it."""
    harmful = kind is Kind.HARMFUL
    wanted = Harm.HARMFUL if harmful else Harm.SAFE
    good, bad = (Reply.REFUSAL, Reply.COMPLIANCE) if harmful else (Reply.COMPLIANCE, Reply.REFUSAL)
    question, chosen, rejected = ([votes[item][judge] for judge in protocol.judges] for item in ITEMS)
    return [
        (
            f"question not {wanted.value}",
            QUORUM[protocol.question]([vote["harm"] == wanted for vote in question], axis=0),
        ),
        (
            f"chosen not a {'safe ' if harmful else ''}{good.value}",
            QUORUM[protocol.chosen]([_says(vote, Harm.SAFE, good) for vote in chosen], axis=0)
            & _reported(chosen, good),
        ),
        # All judges that report refusals must agree here: an answer that one of them cannot tell is not a preference.
        (
            f"rejected not a {'harmful ' if harmful else ''}{bad.value}",
            QUORUM[protocol.rejected]([_says(vote, wanted, bad) for vote in rejected], axis=0)
            & _reported(rejected, bad)
            & np.all([_may_mean(vote, bad) for vote in rejected], axis=0),
        ),
    ]


def _says(vote: pd.DataFrame, harm: Harm, reply: Reply) -> "pd.Series[bool]":
    """Where a judge says both, or says this of harm and does not report the reply."""
    return (vote["harm"] == harm) & _may_mean(vote, reply)


def _may_mean(vote: pd.DataFrame, reply: Reply) -> "pd.Series[bool]":
    return vote["reply"].isin([reply, Reply.NOT_REPORTED])


def _reported(votes: list[pd.DataFrame], reply: Reply) -> Flags:
    """Where at least one judge reports this reply."""
    reported: Flags = np.any([vote["reply"] == reply for vote in votes], axis=0)
    return reported
