"""A stage is told by its script, wherever it stands among the first words of its process."""

import subprocess
import sys
import time

from refuseu.rehearsal.watch import Watch


def test_a_stage_is_seen_behind_the_options_of_python() -> None:
    command = [sys.executable, "-P", "-c", "import time; time.sleep(60)", "ending", "stages/label.py"]
    with Watch() as watch, subprocess.Popen(command) as process:
        end = time.monotonic() + 30
        while "label" not in watch.stages and time.monotonic() < end:
            time.sleep(0.1)
        process.kill()
    assert watch.stages["label"].host_gb > 0
