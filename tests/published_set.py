"""A small set in the schema of NASK-PIB/RefusEU, with harmless texts."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

Row = dict[str, Any]
Rows = Mapping[tuple[str, str], Sequence[Row]]
"""By config and split."""


def exchange(question: str, answer: str) -> list[dict[str, str]]:
    return [{"content": question, "role": "user"}, {"content": answer, "role": "assistant"}]


def published_row(
    row_id: int | str, lang: str, question: str = "", chosen: str = "", rejected: str = "", category: str = "S2"
) -> Row:
    """Texts that are left out are made of the row's id and language."""
    asked = question or f"How does {row_id} work in {lang}?"
    return {
        "chosen": exchange(asked, chosen or f"I cannot help with {row_id} in {lang}."),
        "rejected": exchange(asked, rejected or f"Sure, here is how {row_id} works in {lang}."),
        "lang": lang,
        "id": f"{row_id}-{lang}",
        "row_id": row_id,
        "category": category,
    }


def asked(row_id: int | str, lang: str, prompt: str = "") -> Row:
    """A row of the config ``evaluation``."""
    return {"row_id": row_id, "lang": lang, "prompt": prompt or f"What is {row_id} in {lang}?"}


def pairs_of(train: Sequence[Row], dev: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """Pairs in the configs of their languages; the published ``test`` of the pairs is a dev part."""
    return {
        (f"lang_{lang}", split): [row for row in rows if row["lang"] == lang]
        for split, rows in (("train", train), ("test", dev))
        for lang in dict.fromkeys(row["lang"] for row in rows)
    }


def write_set(folder: Path, rows: Rows, ending: str = ".parquet") -> None:
    """The set as files, one a config and split."""
    for (config, split), content in rows.items():
        path = folder / config / f"{split}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if ending == ".jsonl":
            path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in content), encoding="utf-8")
        else:
            pd.DataFrame(content).to_parquet(path)
