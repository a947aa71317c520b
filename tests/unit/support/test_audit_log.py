"""The API server's audit log as tests read it: across renamed files, from a moment on."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.audit_log import AuditLog


def entry(name: str, agent: str = "sluice-operator (kubernetes)", verb: str = "patch") -> str:
    what = {"namespace": "there", "resource": "services", "name": name}
    answer = {"stage": "ResponseComplete", "responseStatus": {"code": 200}}
    return json.dumps(answer | {"verb": verb, "userAgent": agent, "objectRef": what}) + "\n"


def test_what_was_written_before_a_renaming_and_after_it_is_found(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_text(entry("earlier"))
    audit = AuditLog(log)
    with log.open("a") as more:
        more.write(entry("one") + entry("read", verb="get") + entry("another's", agent="kubectl"))
    log.rename(tmp_path / "audit-2001-01-01T00-00-00.000.log")
    log.write_text(entry("two") + entry("half")[:20])
    assert [write.name for write in audit.writes("there")] == ["one", "two"]
    assert audit.writes("elsewhere") == []
    audit.restart()
    assert audit.writes("there") == []
