"""From the cluster to ``Observed…``: all the reading that a decision needs, one module per kind."""
