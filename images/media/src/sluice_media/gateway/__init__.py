"""The gateway: it terminates publishers' connections and carries their media to the hubs.

It has no access to Secrets or to the Kubernetes API. The hub decides whether a key is right.
"""
