"""Attacks on the lab's own servers, naive and right: alone, staged side by side, in a browser, on sockets.

Imports the lab, the clients, `audit` and `endpoint`; never a server's code, and never attacks anything
but a lab.
"""
