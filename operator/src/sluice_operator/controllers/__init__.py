"""Controllers: they read all facts that a decision needs, as an ``Observed…``. One module per
kind."""
