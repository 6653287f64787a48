"""The rows of ``rtlab bench throughput``: each module measures one row or a few, beside peers.

Imports the lab, the clients and the peers. Never a suite: the suite imports these modules.
"""
