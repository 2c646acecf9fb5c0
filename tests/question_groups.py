"""Question groups in two languages, whose texts are unlike each other unless they are given."""

from hashlib import sha256

import pandas as pd

from refuseu.split.settings import Split, SplitParameters

LANGUAGES = ["en", "de"]
SPLIT = Split(
    test_per_cell=1, dev_per_category=2, held_out_test_behaviors=1, held_out_dev_behaviors=1, near_duplicate=0.8
)
PARAMETERS = SplitParameters.model_validate(
    {
        "seed": 1,
        "languages": LANGUAGES,
        "categories": {"S1": "First", "S2": "Second"},
        "styles": {"x": "X", "y": "Y"},
        "published": {"source": "mine"},
        "split": SPLIT,
        "translate.translator": {"kind": "llm", "model": "any"},
        "train": {
            "seeds": [0],
            "languages": ["de"],
            "benign_share": 0.2,
            "configs": {"all": {"languages": "all"}},
            "single": [],
        },
    }
)


def group_rows(
    group_id: str, category: str, style: str, behavior_id: str | None, text: str = "", frame_id: str | None = None
) -> list[dict[str, str | None]]:
    """The rows of a harmful question and its benign twin in both languages; ``text`` is the harmful one in English."""
    return [
        {
            "question_id": f"{group_id}-{kind}",
            "lang": lang,
            "kind": kind,
            "group_id": group_id,
            "category": category,
            "style": style,
            "behavior_id": behavior_id,
            "frame_id": frame_id,
            "text": text if text and kind == "harmful" and lang == "en" else unlike(f"{group_id}{kind}{lang}"),
            "chosen": "chosen",
            "rejected": "rejected",
            "accepted": True,
            "complied": True,
        }
        for kind in ("harmful", "benign")
        for lang in LANGUAGES
    ]


def unlike(name: str) -> str:
    return sha256(name.encode()).hexdigest()


def forty_groups() -> pd.DataFrame:
    """2 categories x 2 styles x 5 behaviors x 2 wordings: 40 groups, none like another."""
    return pd.DataFrame(
        [
            row
            for category in ("S1", "S2")
            for style in ("x", "y")
            for behavior in range(5)
            for wording in range(2)
            for row in group_rows(
                f"{category}{style}{behavior}{wording}",
                category,
                style,
                f"{category}-{behavior}",
                frame_id=f"{style}-{wording}",
            )
        ]
    )
