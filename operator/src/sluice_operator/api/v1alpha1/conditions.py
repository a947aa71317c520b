"""Conditions in a status (KEP-1623), shared by all kinds."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from sluice_operator.api.v1alpha1.common import ApiModel, list_map


class StatusCondition(ApiModel):
    """One fact about the object, as kubectl wait and GitOps tools read it."""

    type: Annotated[str, Field(max_length=316, pattern=r"^[A-Za-z]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")]
    """What it is about, e.g. Ready."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds; Unknown when nothing is known at the moment."""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation of the object that this was decided about."""
    last_transition_time: datetime
    """When status changed last."""
    reason: Annotated[
        str,
        Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"),
    ]
    """The cause in one word, for programs."""
    message: Annotated[str, Field(max_length=32_768)]
    """The cause in words, for people."""


Conditions = Annotated[
    list[StatusCondition], Field(max_length=16, json_schema_extra=list_map("type"))
]
