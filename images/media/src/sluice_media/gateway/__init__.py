"""The gateway: terminates publishers, dials their hubs, keeps what is not acknowledged.

It knows no Secret and no Kubernetes API: whether a key is right is the hub's to say.
"""
