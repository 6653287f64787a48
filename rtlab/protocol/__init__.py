"""What client and server must agree on: messages, codecs, close codes, HTTP statuses, limits and
framing.

This package imports only `rtlab.errors` and `rtlab.resources`. It never does network I/O, nor reads a clock.
"""
