"""Child processes that end with their parent (both sides of that), tasks that end together, and the
programs and ports of this machine.

It imports only `rtlab.errors`, and never knows of messages or transports.
"""
