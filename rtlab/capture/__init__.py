"""Bytes on the wire: taps that keep them, parsers that split them, comments that explain them.

Imports the client and the protocol. Never a model: the bytes are counted, not computed.
"""
