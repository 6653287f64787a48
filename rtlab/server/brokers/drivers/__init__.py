"""One module for each kind of broker: a connection that is opened once, used, and discarded.

Each imports `carrying` and its broker's client library, never the cluster or another kind of broker. It is
imported only if a URL asks for it.
"""
