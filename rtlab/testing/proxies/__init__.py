"""Proxies in front of a real server that change, drop, repeat or hold single messages by rules.

May import the mocks' items, the journal and real sockets; never a lab, which starts servers.
"""
