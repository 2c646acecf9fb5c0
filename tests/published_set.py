"""A small set in the schema of NASK-PIB/RefusEU, with harmless texts."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

CONFIG = "multilingual"
Row = dict[str, Any]


def exchange(question: str, answer: str) -> list[dict[str, str]]:
    return [{"content": question, "role": "user"}, {"content": answer, "role": "assistant"}]


def published_row(
    row_id: str, lang: str, question: str = "", chosen: str = "", rejected: str = "", category: str = "S2"
) -> Row:
    """Texts that are left out are made of the row's name and language."""
    asked = question or f"How does {row_id} work in {lang}?"
    return {
        "chosen": exchange(asked, chosen or f"I cannot help with {row_id} in {lang}."),
        "rejected": exchange(asked, rejected or f"Sure, here is how {row_id} works in {lang}."),
        "lang": lang,
        "id": f"{row_id}-{lang}",
        "row_id": row_id,
        "category": category,
    }


def write_set(folder: Path, train: list[Row], test: list[Row], ending: str = ".parquet") -> None:
    """The set as files of its config."""
    (folder / CONFIG).mkdir(parents=True)
    for split, rows in (("train", train), ("test", test)):
        path = folder / CONFIG / f"{split}{ending}"
        if ending == ".jsonl":
            path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")
        else:
            pd.DataFrame(rows).to_parquet(path)
