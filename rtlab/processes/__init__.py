"""Child processes that end with their parent, seen from both ends, tasks that end together, and what
this machine offers them.

Imports only `rtlab.errors`. Never anything about messages or transports.
"""
