"""The one way in: `message_entry_point` takes each message, over any transport, through the same steps;
`optional_message_checks` and `message_rate_limit` are those that a server's options ask for.

It imports the handlers and what they may import, the options, and the checks of tokens and rights; never a
transport or an endpoint.
"""
