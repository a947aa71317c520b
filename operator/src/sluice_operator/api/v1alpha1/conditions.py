"""Conditions in a status (KEP-1623), shared by all kinds."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from sluice_operator.api.v1alpha1.common import ApiModel, list_map


class StatusCondition(ApiModel):
    """One fact about the object, for kubectl wait and GitOps tools."""

    type: Annotated[str, Field(max_length=316, pattern=r"^[A-Za-z]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")]
    """Name of the condition, e.g. Ready."""
    status: Literal["True", "False", "Unknown"]
    """True, False, or Unknown while there is no current information."""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """Generation of the object that this condition was computed from."""
    last_transition_time: datetime
    """Time of the last change of status (UTC)."""
    reason: Annotated[
        str,
        Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"),
    ]
    """Cause as one word, for programs."""
    message: Annotated[str, Field(max_length=32_768)]
    """Cause as a sentence, for people."""


Conditions = Annotated[
    list[StatusCondition], Field(max_length=16, json_schema_extra=list_map("type"))
]
