"""Builder of Go programs from the module proxy: one module, one compilation, and an estimate of its
time.

One ``go build`` of several programs compiles their shared packages once, uses all cores, and links
one program while it compiles the next. The progress is computed from the output of ``-v``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kube.errors import KubeToolError

__all__ = ["MINIMUM_GO", "Program", "Workload", "compile_all", "go", "require_go", "workload"]

MINIMUM_GO = (1, 26)
_LINK_BYTES = 1_000_000
"""Cost of linking a program, as the bytes of source that compile in the same time."""


@dataclass(frozen=True, slots=True)
class Program:
    """A main package, and the name of its binary."""

    name: str
    package: str

    @property
    def go_name(self) -> str:
        """File name that ``go build`` uses: the last element of the path that is not a major
        version."""
        words = self.package.split("/")
        return words[-2] if re.fullmatch(r"v[0-9]+", words[-1]) else words[-1]


@dataclass(slots=True)
class Workload:
    """The packages to compile, in bytes of source."""

    bytes_of: Mapping[str, int]
    """Package -> its bytes."""
    imports_of: Mapping[str, Sequence[str]]
    """Package -> packages that must be compiled before it."""
    done_bytes: int = 0
    _done: set[str] = field(default_factory=set)

    def begins(self, package: str) -> None:
        """Count a package that is being compiled, and all packages that it imports.

        ``go build`` does not print packages from its cache. It compiles a package only after all of
        its imports are ready."""
        waiting = [package]
        while waiting:
            name = waiting.pop()
            if name not in self._done and name in self.bytes_of:
                self._done.add(name)
                self.done_bytes += self.bytes_of[name]
                waiting += self.imports_of[name]

    @property
    def share(self) -> float:
        """Return the finished share, from 0 to 1."""
        return self.done_bytes / max(1, sum(self.bytes_of.values()))


def require_go() -> None:
    """Raise KubeToolError unless a Go toolchain of a supported version is on the PATH."""
    if shutil.which("go") is None:
        raise KubeToolError(f"no Go toolchain found; install Go {_dotted(MINIMUM_GO)} or newer")
    text = subprocess.run(["go", "version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"go(\d+)\.(\d+)", text)
    if match is None or (int(match[1]), int(match[2])) < MINIMUM_GO:
        raise KubeToolError(f"Go {_dotted(MINIMUM_GO)} or newer is needed, found: {text.strip()}")


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def go(arguments: Sequence[str], work: Path) -> str:
    """Run ``go`` in a module and return its output.

    Raises:
        KubeToolError: the command failed.
    """
    result = subprocess.run(
        ["go", *arguments],
        cwd=work,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise _failed(arguments[0], result.stderr)
    return result.stdout


def _environment() -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}


def _failed(command: str, text: str) -> KubeToolError:
    tail = text.strip()[-2000:]
    return KubeToolError(f"go {command} failed; is the Go module proxy reachable?\n{tail}")


def workload(packages: Iterable[Mapping[str, Any]]) -> Workload:
    """Return the packages to compile, from the output of ``go list -deps``."""
    shares: dict[str, int] = {}
    imports: dict[str, Sequence[str]] = {}
    for package in packages:
        name, folder = package["ImportPath"], Path(package.get("Dir", ""))
        shares[name] = sum((folder / file).stat().st_size for file in package.get("GoFiles", ()))
        shares[name] += _LINK_BYTES if package.get("Name") == "main" else 0
        imports[name] = package.get("Imports", ())
    return Workload(shares, imports)


def _listed(text: str) -> Iterator[Mapping[str, Any]]:
    """Yield the JSON objects of a text with one object after the other."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        found, at = decoder.raw_decode(text, at)
        yield found
        at += len(text[at:]) - len(text[at:].lstrip())


def compile_all(
    programs: Sequence[Program],
    ldflags: Sequence[str],
    work: Path,
    report: Callable[[float, float], None],
    stop: threading.Event,
) -> Mapping[str, Path]:
    """Compile programs with one ``go build``.

    Args:
        programs: programs to compile; their ``go_name`` must differ.
        ldflags: flags for the linker, in addition to those that omit symbols.
        work: the module's folder.
        report: callback with the finished share and the seconds since the start.
        stop: ends the build early when set.

    Returns:
        Name of a program -> its path.

    Raises:
        KubeToolError: the build failed (with its output), or was stopped.
    """
    flags = ["-mod=mod", "-trimpath", "-ldflags", " ".join(["-s", "-w", *ldflags])]
    packages = [program.package for program in programs]
    fields = "ImportPath,Dir,GoFiles,Name,Imports"
    listed = go(["list", "-mod=mod", "-deps", f"-json={fields}", *packages], work)
    todo = workload(_listed(listed))
    output = work / "out"
    output.mkdir()
    started, said = time.monotonic(), []
    process = subprocess.Popen(
        ["go", "build", "-v", *flags, "-o", f"{output}{os.sep}", *packages],
        cwd=work,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if stop.is_set():
            process.terminate()
        if line.strip() in todo.bytes_of:
            todo.begins(line.strip())
            report(todo.share, time.monotonic() - started)
        else:
            said.append(line)
    if process.wait() != 0:
        raise _failed("build", "".join(said))
    return {program.name: output / program.go_name for program in programs}
