from pathlib import Path

import pytest

from refuseu.errors import UserError
from refuseu.evaluation.answers import model_folders


def test_the_base_comes_first_then_the_configs_as_params_yaml_orders_them(tmp_path: Path) -> None:
    for name in ("balanced", "only-pl"):
        (tmp_path / name).mkdir()
    (tmp_path / ".DS_Store").touch()
    folders = model_folders(Path("models/base"), tmp_path, {"only-pl": None, "balanced": None})
    assert list(folders.items()) == [
        ("base", Path("models/base")),
        ("only-pl", tmp_path / "only-pl"),
        ("balanced", tmp_path / "balanced"),
    ]


def test_a_model_of_a_config_that_is_gone_stops_the_evaluation(tmp_path: Path) -> None:
    for name in ("balanced", "balanced-old"):
        (tmp_path / name).mkdir()
    with pytest.raises(
        UserError, match=r"balanced-old: no config of train.configs.*rm -r .*/balanced-old metrics/dpo/"
    ):
        model_folders(Path("models/base"), tmp_path, {"balanced": None})
