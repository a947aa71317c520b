"""Builders of Kubernetes objects from specs. Each returns a whole object, ready to be applied.

The engine adds the owner reference, the managed-by label on the object itself and the spec hash.
"""
