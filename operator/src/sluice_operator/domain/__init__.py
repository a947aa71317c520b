"""The pure half of the operator: ``decide(observed, now) -> Decision`` for each kind.

* `names`, `observed` and `decision`: the interface to the engine.
* `livestream`, `recording`, `restream`, `mediastore`: one ``decide`` each.
* `readiness`, `rollout`, `samples`, `ticks`: rules for every kind.
* `manifests`: builders of Kubernetes objects.

No function here does I/O, reads a clock or makes a random number.
"""
