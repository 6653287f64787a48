"""Starts the parts of an experiment: servers, brokers, fault proxy, certificates, nginx and HAProxy.

This package imports `rtlab.processes` and the fault proxy's client. It never imports a client, the
server, an experiment or a benchmark: servers are started as processes.
"""
