"""Acknowledged delivery: numbering, retransmission, receipts, and on arrival the repeats and gaps.

Imports the client's dispatch, sender and state machine's runner, the policies and the protocol; never a
transport: the guarantees are the same over all of them.
"""
