"""The parts as a published set gives them: its preference pairs are train and dev, its test questions come without answers.

No question of train may stand in dev or test, and none of dev in test. Such a question of train or dev is left out, in its
language alone, since the questions of a slot were written in each language by itself. Train holds accepted pairs alone, as many
as each language has. The test stays as it was published, so that numbers on it can be compared with those of others.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from refuseu.core.errors import UserError
from refuseu.experiment import Kind
from refuseu.sources.published import PublishedQuestion
from refuseu.split.splitting import NOT_ACCEPTED, assert_clean, assert_filled, summary
from refuseu.tables.schemas import TEST
from refuseu.text.near_duplicates import Comparison
from refuseu.text.normal import plain

EQUAL = "equal to a question of dev or test"
NEAR = "near-duplicate of a question of dev or test"


def keep_parts(
    labelled: pd.DataFrame,
    part_of: Mapping[str, str],
    test: pd.DataFrame,
    threshold: float,
    where_lost: Callable[[], str] = str,
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Divide the pairs as the set does, and leave out what a later part holds too.

    Args:
        labelled: the questions that the stage ``label`` kept (``schemas.LABELLED``; the answers are not needed).
        part_of: part of each question id, train or dev.
        test: the test questions (``schemas.TEST``).
        threshold: Jaccard similarity (0-1) of near-duplicates.
        where_lost: says what earlier stages rejected, for the error about an empty train part.

    Returns:
        The rows of train, dev and test, and the account of the split, in which ``mixes`` is still empty.

    Raises:
        UserError: for a pair that is not in the set, and when train or test is empty.
    """
    strangers = labelled.loc[~labelled["question_id"].isin(part_of.keys()), "question_id"]
    if len(strangers):
        raise UserError(
            f"split: question {strangers.iloc[0]} is not in the published set; "
            "set split.assignment to stratified, or take all questions from the set"
        )
    pairs = labelled.assign(held_out=None, held_out_frame=None)
    part = pairs["question_id"].map(part_of)
    dev, of_dev = _apart(pairs[part == "dev"], test, threshold)
    in_train = part == "train"
    train, of_train = _apart(
        pairs[in_train & pairs["accepted"]], pd.concat([dev[["lang", "text"]], test[["lang", "text"]]]), threshold
    )
    rejected = {reason: of_dev[reason] + of_train[reason] for reason in (EQUAL, NEAR)}
    rejected[NOT_ACCEPTED] = int((in_train & ~pairs["accepted"]).sum())
    parts = {"train": train, "dev": dev, "test": test}
    assert_filled(parts, f"pairs that label kept: {len(labelled)}", where_lost)
    slots = pairs["question_id"].nunique() + test["question_id"].nunique()
    account = summary(parts, len(labelled) + len(test), rejected, slots, threshold)
    assert_clean(account["contamination"])
    return parts, account


def question_rows(questions: Sequence[PublishedQuestion]) -> pd.DataFrame:
    """Return the set's test questions as rows of ``schemas.TEST``, in which category, style, behavior and answers are null."""
    rows = [
        {
            "question_id": question.question_id,
            "lang": question.lang,
            "kind": Kind.HARMFUL.value,
            "group_id": question.question_id,
            "text": question.text,
        }
        for question in questions
    ]
    return pd.DataFrame(rows, columns=list(TEST.columns))


def _apart(ours: pd.DataFrame, theirs: pd.DataFrame, threshold: float) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the rows of ``ours`` without those that ``theirs`` holds an equal or a near-duplicate of, and their counts."""
    reasons = pd.Series(index=ours.index, dtype=object)
    for lang, rows in ours.groupby("lang"):
        texts = list(theirs.loc[theirs["lang"] == lang, "text"])
        for block in Comparison(list(rows["text"]), texts).near(threshold):
            reasons[rows.index[block.ours]] = NEAR
        known = set(map(plain, texts))
        reasons[rows.index[rows["text"].map(plain).isin(known)]] = EQUAL
    return ours[reasons.isna()], {reason: int((reasons == reason).sum()) for reason in (EQUAL, NEAR)}
