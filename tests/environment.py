"""The tests' own Python environment: made once per lock file, outside the checkout.

``python3 tests/environment.py [LOCK]`` prints the path of its ``bin`` folder; needs nothing but the
standard library, because it is what brings everything else.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

LOCK_FILE = Path(__file__).parent / "requirements.lock"
MINIMUM = (3, 11)


def main() -> None:
    if sys.version_info < MINIMUM:
        sys.exit(f"Sluice's tests need Python {MINIMUM[0]}.{MINIMUM[1]} or newer.")
    cache = Path(os.environ.get("SLUICE_CACHE", Path.home() / ".cache" / "sluice"))
    cache.mkdir(parents=True, exist_ok=True)
    lock_file = Path(sys.argv[1]) if len(sys.argv) > 1 else LOCK_FILE
    key = lock_file.read_bytes() + sys.version.encode()
    folder = cache / f"venv-{hashlib.sha256(key).hexdigest()[:12]}"
    complete = folder / ".complete"
    with (cache / "venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            print("installing the Python packages of the tests (about a minute) …", file=sys.stderr)
            try:
                venv.create(folder, clear=True, with_pip=True)
            except subprocess.CalledProcessError:
                sys.exit("python3 cannot make environments: install the package python3-venv")
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
            pip += ["--disable-pip-version-check", "--require-hashes", "-r", str(lock_file)]
            if subprocess.run(pip, stdout=sys.stderr).returncode:
                sys.exit("the Python packages could not be installed; see above")
            complete.touch()
    print(folder / "bin")


main()
