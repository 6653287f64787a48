"""Attacks on the lab's own servers, naive and right: on logins, messages, connections; across sites; staged.

Imports the lab, the clients, `audit` and `endpoint`; never a server's code, and never attacks anything
but a lab.
"""
