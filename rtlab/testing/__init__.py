"""For tests of real-time code: mocks and their peers (`mock`), rtlab without a socket (`in_memory`), proxies
in front of a real server (`proxies`), recorded runs (`recordings`), a clock, an HTTP server, fixtures.

Imports the client, the parts of server and fault proxy that do no I/O, the lab, the ledger and the recorder;
pytest only in `pytest_plugin`, which imports none of these until a fixture is used. Never imports benchmarks
or what draws.
"""
