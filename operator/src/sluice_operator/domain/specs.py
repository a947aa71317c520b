"""Reading a stored ``spec`` as a model, with a sentence for the user when it cannot be read.

The API server checks objects against its schema when they are written, not when the schema
changes. So an object of an older version may hold values that this version refuses.
"""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from sluice_operator.api.v1alpha1.common import ApiModel
from sluice_operator.domain.invalid_spec import InvalidSpecError
from sluice_operator.domain.pod_view import Raw

M = TypeVar("M", bound=ApiModel)
_MAX_FAULTS = 3


def read_spec(model: type[M], raw: Raw) -> M:
    """Return the object's spec. Raises InvalidSpecError."""
    try:
        return model.model_validate(raw.get("spec") or {})
    except ValidationError as error:
        raise InvalidSpecError(_sentence(raw, error)) from error


def _sentence(raw: Raw, error: ValidationError) -> str:
    """Return a sentence with the first three fields and faults, without the values, which may be
    secret."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    listed = "; ".join(
        f"{'.'.join(str(part) for part in ('spec', *fault['loc']))}: {fault['msg']}"
        for fault in faults[:_MAX_FAULTS]
    )
    more = f" (and {len(faults) - _MAX_FAULTS} more)" if len(faults) > _MAX_FAULTS else ""
    name = f"{raw['kind']} {raw['metadata']['name']}"
    return (
        f"{name} was stored by another version of Sluice and cannot be read by this one: "
        f"{listed}{more}. Correct it (kubectl edit), or delete it."
    )
