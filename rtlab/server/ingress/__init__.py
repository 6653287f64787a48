"""The one way in: `entry_point` takes every message of a client, over any transport, through the same steps;
`optional_steps` and `message_rate_limit` are those that a server's options ask for.

It imports the handlers and what they may import, the options, and the checks of tokens and rights; never a
transport or an endpoint.
"""
