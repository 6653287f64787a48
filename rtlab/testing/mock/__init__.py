"""`MockWebSocket`, and the scripted peer at its other end, with a browser's rules where a test asks for them.

May import the client, the matching of messages and the journal; never a proxy, the lab or a server.
"""
