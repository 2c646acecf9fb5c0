"""Counts the tokens of a mix. Losing rows that do not fit would bias the comparison between languages."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from refuseu.core.errors import UserError
from refuseu.weights.encoding import conversation_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def token_statistics(mix: pd.DataFrame, tokenizer: "PreTrainedTokenizerBase", max_length: int) -> dict[str, Any]:
    """Statistics of ``mix`` by language.

    Returns:
        For each language the number of rows, the median, 99th percentile and maximum of their tokens (of the prompt with the
        longer answer), the number of ``dropped`` rows, whose prompt alone fills ``max_length`` (TRL drops them silently), and
        the number of ``truncated`` rows, which exceed ``max_length``.
    """
    counts = pd.DataFrame([token_counts(row, tokenizer) for row in mix.itertuples()], columns=["prompt", "total"])
    return {
        str(lang): {
            "rows": len(rows),
            "tokens_p50": float(rows["total"].quantile(0.5)),
            "tokens_p99": float(rows["total"].quantile(0.99)),
            "tokens_max": int(rows["total"].max()),
            "dropped": int((rows["prompt"] >= max_length).sum()),
            "truncated": int(((rows["total"] > max_length) & (rows["prompt"] < max_length)).sum()),
        }
        for lang, rows in counts.groupby(mix["lang"].to_numpy())
    }


def token_counts(row: Any, tokenizer: "PreTrainedTokenizerBase") -> tuple[int, int]:
    """The number of tokens of the prompt, and of the prompt with the longer answer.

    Raises:
        UserError: when the prompt alone has other tokens than the prompt before an answer. TRL would cut it where the two
            differ, and would train on a context that the model never sees when it is asked. And when the chat template reads the
            clock, draws at random, or cannot be used.
    """

    from jinja2 import TemplateError

    def tokens(**turns: str) -> list[int]:
        messages = [{"role": role, "content": content} for role, content in turns.items()]
        named, alone = str(tokenizer.name_or_path), len(turns) == 1
        try:
            return conversation_tokens(tokenizer, named, messages, add_generation_prompt=alone)
        except TemplateError as error:
            raise UserError(
                f"{named}: the chat template cannot be used ({error}); mend it, or name another base"
            ) from None

    prompt = tokens(user=row.prompt)
    answered = [tokens(user=row.prompt, assistant=answer) for answer in (row.chosen, row.rejected)]
    if any(ids[: len(prompt)] != prompt for ids in answered):
        raise UserError(
            f"dpo: question {row.question_id} in {row.lang}: the prompt has other tokens before an answer than alone; "
            "give the base a chat template that ends the prompt on the same tokens in both"
        )
    return len(prompt), max(map(len, answered))


def check_lengths(statistics: dict[str, Any], max_length: int, max_dropped: float) -> None:
    """Make sure that no language loses more than the share ``max_dropped`` (0-1) of its rows.

    Raises:
        UserError: that names the language and the length that is enough.
    """
    longest = max((each["tokens_max"] for each in statistics.values()), default=0)
    for lang, each in statistics.items():
        lost = (each["dropped"] + each["truncated"]) / each["rows"]
        if lost > max_dropped:
            raise UserError(
                f"dpo.max_length: {max_length} tokens drop or cut {lost:.1%} of the rows in {lang}, more than "
                f"dpo.max_dropped {max_dropped:.1%}; raise dpo.max_length to {longest}"
            )
