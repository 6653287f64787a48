"""Doubles for tests of real-time code: a clock, WebSockets, peers and networks in memory, and a pytest plugin.

Imports the client, the server's and the fault proxy's parts that do no I/O, the lab and the ledger; pytest only
in `pytest_plugin`, which imports nothing of these until a fixture is used. Never what judges or draws.
"""
