"""Child processes that end with their parent (both sides of that), tasks that end together, and this machine:
its programs, ports, descriptors and boot.

It imports `rtlab.errors`, and aiohttp in the two modules that mend an HTTP server; it never knows of messages
or transports.
"""
