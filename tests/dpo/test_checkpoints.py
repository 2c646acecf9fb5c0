import json
from pathlib import Path

import pytest

from refuseu.core.errors import UserError
from refuseu.core.locked import hash_of_folder
from refuseu.dpo.checkpoints import (
    ENDED,
    WHOLE,
    checkpoint_folder,
    kept,
    marking,
    newest,
    remove_damaged,
    remove_locked,
)


def test_the_folder_follows_from_all_that_decides_and_lies_in_the_main_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    folder = checkpoint_folder(seed=1, pairs=["a"])
    assert folder.parent == tmp_path / ".cache/refuseu/checkpoints"
    assert folder == checkpoint_folder(pairs=["a"], seed=1)
    assert len({folder, checkpoint_folder(seed=2, pairs=["a"]), checkpoint_folder(seed=1, pairs=["b"])}) == 3


class Save:
    """What transformers tells a callback after it wrote a checkpoint of one process."""

    is_world_process_zero = True

    def __init__(self, folder: Path, step: int) -> None:
        self.output_dir, self.global_step = folder, step


def written(folder: Path, step: int) -> Path:
    """A checkpoint with two files, one of them in a folder, which is whole."""
    checkpoint = folder / f"checkpoint-{step}"
    (checkpoint / "optimizer_0").mkdir(parents=True)
    for name in ("optimizer_0/shard", "rng_state.pth"):
        (checkpoint / name).write_text(f"{name} of {step}", encoding="utf-8")
    marking().on_save(Save(folder, step), Save(folder, step), None)
    return checkpoint


def test_the_newest_is_the_last_that_was_written_to_its_end(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    (tmp_path / "checkpoint-12").mkdir()
    assert newest(tmp_path) is None
    for step in (9, 3, 10):
        written(tmp_path, step)
    assert newest(tmp_path) == tmp_path / "checkpoint-10"


def missing(file: Path) -> None:
    file.unlink()


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[3] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [missing, cut_off, flipped])
@pytest.mark.parametrize("name", ["optimizer_0/shard", "rng_state.pth", WHOLE])
def test_a_damaged_checkpoint_is_named_and_the_older_whole_one_is_taken(
    damage: object, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older, last = written(tmp_path, 3), written(tmp_path, 6)
    assert callable(damage)
    damage(last / name)
    remove_damaged(tmp_path, "dpo@slavic-0")
    assert newest(tmp_path) == older
    said = capsys.readouterr().err.splitlines()
    if (damage, name) == (missing, WHOLE):
        assert said == []  # as a kill leaves it
    else:
        assert len(said) == 1
        assert said[0].startswith(f"dpo@slavic-0: {last}: ")
        assert said[0].endswith("; the training goes on from an earlier one")
        assert name == WHOLE or f"{name} is {'missing' if damage is missing else 'damaged'}" in said[0]


def test_a_checkpoint_that_was_never_whole_does_not_push_a_whole_one_out(tmp_path: Path) -> None:
    """transformers counts it among those that it keeps, by its number alone."""
    whole = written(tmp_path, 6)
    (tmp_path / "checkpoint-9").mkdir()
    remove_damaged(tmp_path, "dpo")
    assert list(tmp_path.iterdir()) == [whole]


@pytest.mark.parametrize(("end", "left"), [(None, False), (UserError("no"), False), (KeyboardInterrupt(), True)])
def test_without_dvc_checkpoints_stay_where_a_training_was_killed_alone(
    end: BaseException | None, left: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DVC_STAGE", raising=False)
    folder = tmp_path / "checkpoints"
    try:
        with kept(folder, first=True, out=tmp_path / "model"):
            (folder / "checkpoint-1").mkdir()
            if end:
                raise end
    except (UserError, KeyboardInterrupt) as error:
        assert error is end
    assert folder.exists() == left


def test_the_other_processes_of_a_training_remove_nothing_that_is_still_written(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    with kept(tmp_path / "checkpoints", first=False, out=tmp_path / "model"):
        pass
    assert (tmp_path / "checkpoints").exists()


@pytest.fixture
def ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoints of a training of the stage dpo@slavic-0 that has ended below DVC, in the folder of the project."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "dpo@slavic-0")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    lock_of("an older model")
    folder = checkpoint_folder(seed=1)
    with kept(folder, first=True, out=Path("models/dpo/slavic/0")):
        written(folder, 8)
        Path("models/dpo/slavic/0").mkdir(parents=True)
        Path("models/dpo/slavic/0/model.safetensors").write_text("weights", encoding="utf-8")
    return folder


def lock_of(md5: str) -> None:
    """Write a dvc.lock that names the model by its hash."""
    stage = {"outs": [{"path": "models/dpo/slavic/0", "md5": md5}]}
    Path("dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": {"dpo@slavic-0": stage}}), encoding="utf-8")


def test_the_checkpoints_of_a_training_that_has_ended_stay_until_the_lock_names_its_model(ended: Path) -> None:
    remove_locked()
    assert newest(ended) == ended / "checkpoint-8"
    Path("dvc.lock").write_text("", encoding="utf-8")  # DVC was killed while it wrote
    remove_locked()
    assert newest(ended) == ended / "checkpoint-8"
    lock_of(hash_of_folder(Path("models/dpo/slavic/0")))
    remove_locked()
    assert not ended.exists()


def test_the_checkpoints_of_an_experiment_go_when_its_copy_of_the_workspace_is_gone(ended: Path) -> None:
    Path("dvc.lock").unlink()
    remove_locked()
    assert not ended.exists()


def test_a_training_that_is_typed_again_goes_on_until_the_lock_names_its_model(ended: Path) -> None:
    with pytest.raises(KeyboardInterrupt), kept(ended, first=True, out=Path("models/dpo/slavic/0")):
        assert newest(ended) == ended / "checkpoint-8"
        assert not (ended / ENDED).exists()
        raise KeyboardInterrupt
    with kept(ended, first=True, out=Path("models/dpo/slavic/0")):
        pass
    lock_of(hash_of_folder(Path("models/dpo/slavic/0")))
    with kept(ended, first=True, out=Path("models/dpo/slavic/0")):
        assert newest(ended) is None  # dvc repro --force trains anew
