"""Ingress steps that a server adds if its options ask for them; each is a function or a small object.

They import handlers' helpers and the incoming message, never a transport, an endpoint or the ingress.
"""
