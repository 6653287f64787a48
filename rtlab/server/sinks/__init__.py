"""How a frame leaves, one class for each kind of connection.

Imports the server's frames. Never the node, or what a message means.
"""
