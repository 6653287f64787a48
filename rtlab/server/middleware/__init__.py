"""What is checked of every HTTP request before its route is reached.

Imports the node. Never an endpoint.
"""
