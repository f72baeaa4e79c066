"""The rooms of the package are found where one looks for them."""

import subprocess
import sys


def test_rooms_are_attributes() -> None:
    script = (
        "import caloforge, sys; assert 'torch' not in sys.modules; "
        "assert caloforge.io.open_showers and not hasattr(caloforge, 'nowhere'); "
        "assert caloforge.__version__"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
