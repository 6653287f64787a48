"""The kinds of broker, a module each: a connection that is opened once, used, and thrown away.

Each imports `carrying` and its broker's client, and is imported when a URL asks for it. Never the cluster,
nor another kind of broker.
"""
