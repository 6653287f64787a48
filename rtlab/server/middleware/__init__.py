"""Checks of every HTTP request before it reaches its route.

They import the node, never an endpoint.
"""
