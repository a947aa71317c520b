#!/usr/bin/env python3
"""kubectl as far as the plugin uses it: objects in a folder, each call noted, errors as the real
one words them. Its folder is FAKE_KUBECTL."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ["FAKE_KUBECTL"])


def fail(text: str) -> int:
    sys.stderr.write(text + "\n")
    return 1


def stored(kind: str) -> dict[str, Any]:
    file = FOLDER / f"{kind.partition('.')[0]}.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def store(kind: str, objects: dict[str, Any]) -> None:
    file = FOLDER / f"{kind.partition('.')[0]}.json"
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(objects))
    fresh.replace(file)


def main(args: list[str]) -> int:
    with (FOLDER / "calls").open("a") as calls:
        calls.write(json.dumps(args) + "\n")
    refusal = FOLDER / "refusal"
    if refusal.exists():
        return fail(refusal.read_text())
    flags = [a for a in args if a.startswith("--") and a != "--"]
    words = [a for a in args if not a.startswith("-")]
    if words[0] == "get" and "--ignore-not-found" in flags:
        _, kind, name = words[:3]
        found = stored(kind).get(name)
        if found is not None:
            print(json.dumps(found))
    elif words[0] == "get":
        items = list(stored(words[1]).values())
        if "--field-selector" in flags:
            wanted = words[-1].partition("=")[2]
            items = [i for i in items if i["spec"]["streamRef"]["name"] == wanted]
        print(json.dumps({"items": items}))
    elif words[0] == "create":
        made = json.load(sys.stdin)
        name = made["metadata"]["name"]
        known = stored("recordings")
        if name in known:
            return fail(
                "Error from server (AlreadyExists): error when creating STDIN: "
                f'recordings.sluice.video "{name}" already exists'
            )
        made["metadata"]["uid"] = f"uid-{name}"
        store("recordings", known | {name: made})
    elif words[0] == "patch":
        known = stored(words[1])
        known[words[2]]["spec"] |= json.loads(words[-1])["spec"]
        store(words[1], known)
    elif words[0] == "exec":
        cat = FOLDER / ("ls" if "ls" in words else "cat")
        sys.stdout.buffer.write(cat.read_bytes())
        sys.stdout.buffer.flush()
        if (FOLDER / "hang").exists():
            time.sleep(60)
        said = FOLDER / "cat-error"
        if said.exists():
            return fail(said.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
