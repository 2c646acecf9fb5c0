from pathlib import Path

import pytest
from tiny import save_untrained

from refuseu.engines import opening
from refuseu.engines.identity import weights_hash
from refuseu.engines.opening import open_model
from refuseu.engines.protocol import Sampling, completed, user
from refuseu.engines.reference import ModelReference
from refuseu.parameters.machine import Machine
from refuseu.store import Store

MACHINE = Machine.model_validate({"workers": 1, "transformers": {"batch_size": 2}})


def test_a_model_is_loaded_for_its_first_missing_row_and_not_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    save_untrained(folder)
    store, questions = Store(tmp_path / "rows.sqlite"), [user("one"), user("two"), user("three")]
    first = open_model(ModelReference(folder), MACHINE, store, "respond")
    assert first.identity == weights_hash(folder)
    said = completed(first, questions, Sampling(6))
    assert capfd.readouterr().err == "respond: 2 of 3 rows\nrespond: 3 of 3 rows\n"
    monkeypatch.setattr(opening, "TransformersEngine", None)
    again = open_model(ModelReference(folder), MACHINE, store, "respond")
    assert completed(again, questions, Sampling(6)) == said
    with pytest.raises(TypeError):
        completed(again, questions, Sampling(7))
