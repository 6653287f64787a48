"""Stand-ins for tests: a transport in memory, an HTTP server that follows a script.

Imports the client. Never a lab, or pytest.
"""
