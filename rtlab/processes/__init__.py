"""Child processes that end with their parent (both sides of that), tasks that end together, and the
programs and ports of this machine.

This package imports only `rtlab.errors`, and knows nothing of messages or transports.
"""
