"""The dataset as it is published: the layout and columns of NASK-PIB/RefusEU, and its Croissant description.

Configs ``lang_<xx>`` and ``multilingual`` hold the harmful questions as preference pairs. As published, their split ``test`` is
the dev part, and the test questions stand alone in ``evaluation`` (split eval). This rebuild adds the columns ``style``, and
``category`` in ``evaluation``, and its benign twins in the configs ``benign`` and ``evaluation-benign``. What has no rows is left
out: the hub's ``datasets`` reads no file without rows.
"""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from refuseu.core.files import atomic, write_text
from refuseu.experiment import Kind
from refuseu.release.licences import TEXTS

if TYPE_CHECKING:
    import mlcroissant

NAME = "RefusEU, rebuilt"
DESCRIPTION = (
    "Preference pairs for multilingual refusal alignment: adversarial questions in European languages by hazard category and "
    "attack style, each with a refusal (chosen) and the answer of an un-aligned model (rejected)."
)
CITATION = "Multilingual Refusal Alignment for Safer Large Language Models. Findings of ACL 2026. arXiv:2606.07535"

TURNS = pa.list_(pa.struct([("content", pa.string()), ("role", pa.string())]))
PAIRS = pa.schema(
    [
        ("chosen", TURNS),  # the question and the answer to prefer, as chat turns
        ("rejected", TURNS),
        ("lang", pa.string()),
        ("id", pa.string()),  # names the row
        ("row_id", pa.string()),  # names the question, or the slot, in all languages
        ("category", pa.string()),
        ("style", pa.string()),
    ]
)
PROMPTS = pa.schema([(name, pa.string()) for name in ("row_id", "lang", "prompt", "category", "style")])

Tables = dict[tuple[str, str], pa.Table]
"""By config and split; each has rows."""


def tables(train: pd.DataFrame, dev: pd.DataFrame, test: pd.DataFrame, languages: list[str]) -> Tables:
    """Every config and split of the release that holds a row.

    ``train`` has rows of ``tables.schemas.PART``, ``dev`` and ``test`` of ``tables.schemas.TEST``. Of dev, the pairs that were
    accepted are released, which have their answers.
    """
    made: Tables = {}
    for split, part in (("train", train), ("test", dev)):
        part = part[part["chosen"].notna()]
        harmful = part[part["kind"] == Kind.HARMFUL]
        for lang in languages:
            made[f"lang_{lang}", split] = pairs(harmful[harmful["lang"] == lang])
        made["multilingual", split] = pairs(harmful)
        made["benign", split] = pairs(part[part["kind"] == Kind.BENIGN])
    for config, kind in (("evaluation", Kind.HARMFUL), ("evaluation-benign", Kind.BENIGN)):
        made[config, "eval"] = prompts(test[test["kind"] == kind])
    return {key: table for key, table in made.items() if len(table)}


def prompts(rows: pd.DataFrame) -> pa.Table:
    """Questions alone, sorted by question and language."""
    asked = rows.rename(columns={"question_id": "row_id", "text": "prompt"}).sort_values(["row_id", "lang"])
    return pa.Table.from_pandas(asked[PROMPTS.names], schema=PROMPTS, preserve_index=False).replace_schema_metadata()


def pairs(rows: pd.DataFrame) -> pa.Table:
    """Rows in the published columns, sorted by question and language."""
    rows = rows.sort_values(["question_id", "lang"])
    return pa.Table.from_pydict(
        {
            "chosen": list(map(_turns, rows["text"], rows["chosen"])),
            "rejected": list(map(_turns, rows["text"], rows["rejected"])),
            "lang": rows["lang"],
            "id": rows["question_id"] + "-" + rows["lang"],
            "row_id": rows["question_id"],
            "category": rows["category"],
            "style": rows["style"],
        },
        schema=PAIRS,
    )


def _turns(question: str, answer: str) -> list[dict[str, str]]:
    return [{"content": question, "role": "user"}, {"content": answer, "role": "assistant"}]


def file_of(config: str, split: str) -> str:
    return f"{config}/{split}.parquet"


def write_tables(made: Tables, folder: Path) -> None:
    for (config, split), table in made.items():
        with atomic(folder / file_of(config, split)) as temporary:
            pq.write_table(table, temporary, compression="zstd")


def write_croissant(made: Tables, folder: Path, licence: str) -> None:
    """``croissant.json``: the files with their hashes, and the records in them (Croissant 1.0, by mlcroissant)."""
    import mlcroissant as mlc

    files = [
        mlc.FileObject(
            id=file_of(*key),
            name=file_of(*key),
            content_url=file_of(*key),
            encoding_formats=["application/x-parquet"],
            sha256=hashlib.sha256((folder / file_of(*key)).read_bytes()).hexdigest(),
        )
        for key in made
    ]
    records = [
        mlc.RecordSet(
            id=f"{config}-{split}",
            name=f"{config}-{split}",
            fields=[_field(config, split, column) for column in table.schema],
        )
        for (config, split), table in made.items()
    ]
    metadata = mlc.Metadata(
        name=NAME,
        description=DESCRIPTION,
        license=[TEXTS.get(licence, licence)],
        url="https://arxiv.org/abs/2606.07535",
        cite_as=CITATION,
        version="1.0.0",
        distribution=files,
        record_sets=records,
    )
    content: dict[str, Any] = metadata.to_json()
    write_text(
        json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False, default=str) + "\n",
        folder / "croissant.json",
    )


def _field(config: str, split: str, column: pa.Field) -> "mlcroissant.Field":
    """A text column, or one of chat turns as repeated sub-fields, as the hub describes them.

    mlcroissant 1.1 accepts the latter and reads them as nothing: its JSON path does not enter the arrays of parquet.
    """
    import mlcroissant as mlc

    def text(name: str, json_path: str | None = None) -> mlc.Field:
        transforms = [mlc.Transform(json_path=json_path)] if json_path else []
        extract = mlc.Extract(column=column.name)
        source = mlc.Source(file_object=file_of(config, split), extract=extract, transforms=transforms)
        return mlc.Field(id=name, name=name, data_types=[mlc.DataType.TEXT], source=source, repeated=bool(json_path))

    name = f"{config}-{split}/{column.name}"
    if column.type != TURNS:
        return text(name)
    turns = [text(f"{name}/{part.name}", f"[*].{part.name}") for part in TURNS.value_type]
    return mlc.Field(id=name, name=name, repeated=True, sub_fields=turns)
