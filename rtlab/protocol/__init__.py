"""What both ends of the wire agree on: messages, codecs, close codes, HTTP statuses, limits and
framing.

Imports only `rtlab.errors`. Never I/O, a clock, or anything that only one end does.
"""
