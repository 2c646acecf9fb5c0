from pathlib import Path

import pytest

from refuseu.core.errors import UserError
from refuseu.core.files import read_json


@pytest.mark.parametrize("content", [None, b"{", b"\xff\xfe{}"])
def test_missing_or_broken_json(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "metrics.json").write_bytes(content)
    with pytest.raises(
        UserError,
        match=r"metrics\.json: cannot be read as JSON \(.+\); 'git restore .+metrics\.json' or 'dvc repro'",
    ):
        read_json(tmp_path / "metrics.json")
