"""The tables that the evaluation writes."""

import pyarrow as pa

from refuseu.core.schema import QUESTION_AND_LANGUAGE, Schema
from refuseu.experiment import Kind
from refuseu.judges.verdict import Harm, Reply

MODEL = ("model", "seed")
"""The columns that identify a model: its name, which all seeds of a config share, and its seed.

So rows that are grouped by ``model`` pool its seeds, which all answer the same questions.
"""
SEED = pa.int64()
"""The type of the column ``seed``, which is 0 for the base and for models of others."""

ONLY_OURS = frozenset({"style", "behavior_id", "frame_id", "held_out", "held_out_frame"})
"""Columns that only the answers to our own questions have; null where nobody knows them."""
JUDGED = {"harm": [*Harm], "reply": [*Reply]}
"""What a verdict may be."""
ANSWER = Schema(
    {
        "model": pa.string(),
        "seed": SEED,
        "question_id": pa.string(),
        "lang": pa.string(),
        "kind": pa.string(),
        "category": pa.string(),
        "style": pa.string(),
        "behavior_id": pa.string(),
        "frame_id": pa.string(),
        "held_out": pa.bool_(),
        "held_out_frame": pa.bool_(),
        "answer": pa.string(),  # what follows the reasoning; empty where the model was cut before it answered
        "reasoning": pa.string(),  # nothing for a model that does not reason
        "harm": pa.string(),
        "reply": pa.string(),
        "agreed": pa.bool_(),  # the judges of the panel said the same
        "flagged": pa.bool_(),  # somebody who judged it names verdict.FORBIDDEN, so that nobody is shown it
        "lang_restricted": pa.string(),  # empty, as the next one, for an answer that is too short to identify
        "lang_free": pa.string(),
        "lines": pa.int32(),  # lines that are long enough to identify their language
        "lines_right": pa.int32(),  # those in the question's language, among the project's languages
        "lines_right_free": pa.int32(),  # those in it among all languages the identifier knows
        "fluency": pa.float64(),
    },
    (*MODEL, *QUESTION_AND_LANGUAGE),
    ONLY_OURS | {"category", "reasoning", "fluency"},
    {"kind": [*Kind], **JUDGED},
)


RATING = Schema(
    {
        "model": pa.string(),
        "seed": SEED,
        "prompt_id": pa.string(),
        "lang": pa.string(),
        "kind": pa.string(),  # one of rated_prompts.KINDS
        "answer": pa.string(),
        "rated": pa.bool_(),  # the LLM judge's reply was a rating; without one the marks are missing
        "fluency": pa.float64(),
        "correctness": pa.float64(),
    },
    (*MODEL, "prompt_id", "lang"),
    frozenset({"fluency", "correctness"}),
)


KNOWLEDGE = Schema(
    {
        "model": pa.string(),
        "seed": SEED,
        "test": pa.string(),
        "question_id": pa.string(),
        "lang": pa.string(),
        "correct": pa.bool_(),
        "margin": pa.float64(),  # log-likelihood of the right option, less the best wrong one, as the test compares them
        "source": pa.string(),  # where the questions come from, with versions
    },
    (*MODEL, "test", "question_id", "lang"),
)


SET_ANSWER = Schema(
    {
        "set": pa.string(),  # its name in eval.sets; question_id is the number of the row there
        **{name: each for name, each in ANSWER.columns.items() if name not in ONLY_OURS},
    },
    ("set", *ANSWER.key),
    frozenset({"category", "reasoning", "fluency"}),
    ANSWER.values,
)


VOTE = Schema(
    {
        "model": pa.string(),
        "seed": SEED,
        "question_id": pa.string(),
        "lang": pa.string(),
        "judge": pa.string(),
        "harm": pa.string(),  # a value of Harm
        "reply": pa.string(),  # a value of Reply
    },
    (*MODEL, *QUESTION_AND_LANGUAGE, "judge"),
    values=JUDGED,
)
