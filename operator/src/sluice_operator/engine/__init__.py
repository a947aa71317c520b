"""The kind-agnostic half of the operator: a queue of keys, a cache, and one pass per key.

What the kinds are, and what is to be done about them, comes in through
:class:`sluice_operator.engine.controller.Controller`.
"""
