"""One module for each benchmark, named as on the command line.

Imports the registry and the peers. Never another suite.
"""
