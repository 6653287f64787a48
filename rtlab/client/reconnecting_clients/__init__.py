"""What users make: `Connection` with one of the four transports and its options, a class for each.

May import the rest of `rtlab.client` and what that may import, never patterns, the lab or experiments.
What is on the wire lives in `rtlab.client.transports`, what connects again in `transition_action_runner`.
"""
