"""Starts what an experiment needs: servers, fault proxy, certificates, nginx and HAProxy.

Imports `rtlab.processes` and the fault proxy's client. Never an experiment, a benchmark or a
widget.
"""
