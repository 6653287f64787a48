"""RFC 6455 and RFC 7692 as test cases for both ends: raw bytes, the required reaction, and the RFC section.

It may import the client and raw sockets. A server under test is only a URL, so it never imports the lab.
"""
