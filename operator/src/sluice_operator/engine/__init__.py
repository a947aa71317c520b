"""The part of the operator that is equal for all kinds: a queue of keys, a cache, and one pass per
key.

A kind is passed in as a :class:`sluice_operator.engine.controller.Controller`.
"""
