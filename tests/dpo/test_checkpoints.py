from pathlib import Path

import pytest

from refuseu.core.errors import UserError
from refuseu.dpo.checkpoints import WHOLE, checkpoint_folder, kept, newest


def test_the_folder_follows_from_all_that_decides_and_lies_in_the_main_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    folder = checkpoint_folder(seed=1, pairs=["a"])
    assert folder.parent == tmp_path / ".cache/refuseu/checkpoints"
    assert folder == checkpoint_folder(pairs=["a"], seed=1)
    assert len({folder, checkpoint_folder(seed=2, pairs=["a"]), checkpoint_folder(seed=1, pairs=["b"])}) == 3


def test_the_newest_is_the_last_that_was_written_to_its_end(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    for step in (3, 9, 12):
        (tmp_path / f"checkpoint-{step}").mkdir()
    assert newest(tmp_path) is None
    for step in (3, 9):
        (tmp_path / f"checkpoint-{step}" / WHOLE).touch()
    assert newest(tmp_path) == tmp_path / "checkpoint-9"
    (tmp_path / "checkpoint-12" / WHOLE).touch()
    assert newest(tmp_path) == tmp_path / "checkpoint-12"


@pytest.mark.parametrize(("end", "left"), [(None, False), (UserError("no"), False), (KeyboardInterrupt(), True)])
def test_checkpoints_stay_where_a_training_was_killed_alone(
    end: BaseException | None, left: bool, tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoints"
    try:
        with kept(folder, first=True):
            (folder / "checkpoint-1").mkdir()
            if end:
                raise end
    except (UserError, KeyboardInterrupt) as error:
        assert error is end
    assert folder.exists() == left


def test_the_other_processes_of_a_training_remove_nothing_that_is_still_written(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    with kept(tmp_path / "checkpoints", first=False):
        pass
    assert (tmp_path / "checkpoints").exists()
