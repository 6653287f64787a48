"""Starts what an experiment needs: servers, fault proxy, certificates, nginx and HAProxy.

Imports `rtlab.processes` and the fault proxy's client. Never a client, the server, an experiment or
a benchmark: servers are started as processes.
"""
