"""A reconnecting client of each of the four transports: `Connection` with that transport and its options.

May import the rest of `rtlab.client` and what that may import, never patterns, the lab or experiments.
What is on the wire lives in `rtlab.client.transports`.
"""
