import os
import subprocess
import sys

from repository import ROOT


def test_what_the_terminal_cannot_show_is_a_question_mark() -> None:
    script = (
        "import sys; from refuseu.commands.terminal import tolerate_encodings; tolerate_encodings(); print('ā → b'); "
    )
    script += "print('ł', file=sys.stderr)"
    environment = {**os.environ, "PYTHONIOENCODING": "iso-8859-15", "PYTHONPATH": str(ROOT / "src")}
    printed = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=False)
    assert (printed.returncode, printed.stdout, printed.stderr) == (0, b"? ? b\n", b"?\n")
