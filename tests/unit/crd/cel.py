"""CEL rules over one string, evaluated as the API server does: it has the last word in
tests/cluster, but a rule that lets a secret through is found here."""

from __future__ import annotations

import re

__all__ = ["holds"]

_TERM = re.compile(r"self\.(matches|startsWith)\('((?:[^'\\]|\\.)*)'\)|(&&)|(\|\|)|(!)|([()])|\s+")


def holds(rule: str, value: str) -> bool:
    """A rule of nothing but ``self.matches``, ``self.startsWith``, ``!``, ``&&``, ``||``."""
    python, at = "", 0
    while at < len(rule):
        found = _TERM.match(rule, at)
        assert found is not None, f"not understood: {rule[at:]}"
        function, argument, both, either, negated, bracket = found.groups()
        if function:
            text = re.sub(r"\\(.)", r"\1", argument)
            hit = re.search(text, value) if function == "matches" else value.startswith(text)
            python += str(bool(hit))
        elif both or either:
            python += " and " if both else " or "
        else:
            python += "(not (" if negated else bracket or ""
            if negated:
                end = _operand(rule, found.end())
                python += f"{holds(rule[found.end() : end], value)}))"
                at = end
                continue
        at = found.end()
    return bool(eval(python, {}))


def _operand(rule: str, at: int) -> int:
    """Where the operand of a ``!`` ends."""
    if rule[at] == "(":
        depth = 0
        for token in re.finditer(r"'(?:[^'\\]|\\.)*'|[()]", rule[at:]):
            depth += {"(": 1, ")": -1}.get(token.group(), 0)
            if depth == 0:
                return at + token.end()
    found = _TERM.match(rule, at)
    assert found is not None
    return found.end()
