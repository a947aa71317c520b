"""What a CustomResourceDefinition cannot say is refused when it is written, not when applied."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field

from sluice_operator.api.v1alpha1.common import ApiModel
from sluice_operator.crd.schema import SchemaError, structural_schema


class Inner(ApiModel):
    """What it is in general."""

    size: Annotated[int, Field(ge=0, le=9)] = 3
    """How
    big."""


class Outer(ApiModel):
    """Holds things."""

    first: Inner
    """What it is here."""
    second: Inner | None = None
    labels: Annotated[dict[str, str], Field(max_length=4)] | None = None
    mode: Literal["One"] = "One"


class TwoTypes(ApiModel):
    either: int | str


def test_references_are_inlined_and_the_nearer_description_wins() -> None:
    properties = structural_schema(Outer)["properties"]
    assert properties["first"]["description"] == "What it is here."
    assert properties["second"]["description"] == "What it is in general."
    assert properties["first"]["properties"]["size"] == {
        "default": 3,
        "description": "How big.",
        "maximum": 9,
        "minimum": 0,
        "type": "integer",
    }


def test_a_maps_length_becomes_its_number_of_properties() -> None:
    labels = structural_schema(Outer)["properties"]["labels"]
    assert labels["maxProperties"] == 4
    assert "maxLength" not in labels


def test_a_single_value_is_an_enum() -> None:
    assert structural_schema(Outer)["properties"]["mode"]["enum"] == ["One"]


def test_only_what_must_be_given_is_required() -> None:
    assert structural_schema(Outer)["required"] == ["first"]


def test_a_union_of_types_is_refused() -> None:
    with pytest.raises(SchemaError, match=r"TwoTypes\.either"):
        structural_schema(TwoTypes)
