"""The pure half of the operator: ``decide(observed, now) -> Decision`` for each kind.

* `names` and `observed`, `decision`: the joint with the engine.
* `livestream`, `recording`, `restream`, `mediastore`: one ``decide`` each.
* `readiness`, `rollout`, `samples`, `ticks`: rules that hold for every kind.
* `manifests`: from spec to plain objects.

Nothing here does I/O, reads a clock or makes a random number.
"""
