"""Doubles for tests of real-time code: a clock, WebSockets, peers and networks in memory, a pytest plugin.

Imports the client, the parts of server and fault proxy that do no I/O, the lab and the ledger; pytest only in
`pytest_plugin`, which imports none of these until a fixture is used. Never imports benchmarks or what draws.
"""
