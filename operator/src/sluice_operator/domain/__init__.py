"""Pure decisions: what is observed of an object comes in, what to do about it goes out.

Nothing here does I/O, reads a clock or knows asyncio; see :mod:`sluice_operator.domain.decision`.
"""
