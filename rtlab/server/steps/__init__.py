"""Steps of the one way in that a server adds when it is told to be careful: each is one small object.

Imports handlers' helpers, sessions and the incoming message. Never a transport, an endpoint or the ingress.
"""
