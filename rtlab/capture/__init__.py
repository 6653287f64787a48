"""Bytes on the wire: taps that keep them, parsers that split them, annotations that explain them.

Imports the client, the lab and the protocol. Never a model: the bytes are counted, not computed.
"""
