"""RFC 6455 and RFC 7692 as tables: raw bytes, what must follow, and the section that says so, for both ends.

It may import the client and raw sockets; a server is only a URL, so it never imports the lab.
"""
