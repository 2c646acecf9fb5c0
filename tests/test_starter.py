"""What ``stages/run`` sets before a stage's libraries are imported."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from repository import ROOT

SHOW = """
import datasets, huggingface_hub.utils, os, transformers.utils.logging
from huggingface_hub import constants
print(
    datasets.are_progress_bars_disabled(),
    huggingface_hub.utils.are_progress_bars_disabled(),
    not transformers.utils.logging.is_progress_bar_enabled(),
    transformers.utils.logging.get_verbosity() <= transformers.utils.logging.WARNING,
    constants.HF_HUB_DISABLE_TELEMETRY,
    os.environ["OMP_NUM_THREADS"],
)
"""


def test_the_libraries_draw_nothing_still_warn_and_report_to_nobody(tmp_path: Path) -> None:
    (tmp_path / "stages").mkdir()
    shutil.copy2(ROOT / "stages/run", tmp_path / "stages/run")
    (tmp_path / "stages/show.py").write_text(SHOW, encoding="utf-8")
    unset = ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS", "HF_HUB_DISABLE_TELEMETRY")
    environment = {name: value for name, value in os.environ.items() if name not in (*unset, "TRANSFORMERS_VERBOSITY")}
    environment |= {"PATH": f"{Path(sys.executable).parent}:{environment['PATH']}", "DVC_ROOT": str(tmp_path)}
    shown = subprocess.run(
        ["stages/run", "show"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert shown.stdout == "True True True True True 1\n"
