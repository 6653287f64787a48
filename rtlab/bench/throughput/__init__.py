"""The rows of ``rtlab bench throughput``: each module measures one, beside its peers.

Imports the lab, the clients and the peers. Never a suite, which puts the rows together.
"""
