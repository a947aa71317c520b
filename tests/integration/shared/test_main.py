"""The first second of a pod's life: a SIGTERM then must not be lost."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("module", "imports"), [("sluice_media", "argparse"), ("sluice_operator", "typer")]
)
def test_a_sigterm_while_modules_are_imported_ends_the_process(
    module: str, imports: str, tmp_path: Path
) -> None:
    # As process 1 of a container: a signal without a handler is ignored.
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    slow = tmp_path / f"{imports}.py"
    slow.write_text("print('importing', flush=True)\nimport time\ntime.sleep(20)\n")
    script = f"{ignore}\nimport runpy, sys\nsys.argv = ['x']\n"
    script += f"runpy.run_module('{module}', run_name='__main__')"
    sources = f"{tmp_path}:{ROOT}/operator/src:{ROOT}/images/media/src"
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": sources},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"importing\n"
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 128 + signal.SIGTERM
    assert time.monotonic() - started < 5
