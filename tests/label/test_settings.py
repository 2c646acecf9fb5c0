import pytest
from pydantic import ValidationError

from refuseu.label.settings import Label

PROTOCOL = {"question": "all", "chosen": "all", "rejected": "any"}
SILENT = {"kind": "llama-guard-3", "model": "guard"}


def test_a_panel_on_which_nobody_reports_refusals_could_keep_no_pair() -> None:
    with pytest.raises(ValidationError, match="judges: none of them reports refusals, so no pair could be kept"):
        Label.model_validate({**PROTOCOL, "judges": {"guard": SILENT}, "adjudicator": {"kind": "nearest"}})
    one = {"guard": SILENT, "phrases": {"kind": "phrases"}}
    assert Label.model_validate({**PROTOCOL, "judges": one, "adjudicator": {"kind": "nearest"}}).voters == (
        "guard",
        "phrases",
        "nearest",
    )
