"""The one way in: every message of a client, over any transport, passes these steps.

It imports the handlers and what they may import, and the checks of tokens and rights; never a transport or an
endpoint.
"""
