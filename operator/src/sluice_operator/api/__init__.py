"""The API group ``sluice.video`` as pydantic models, one package per version."""
