"""Benchmarks: each number is compared with a named peer (a library, a server or a limit) in the same run.

Imports the lab, the experiments and the patterns that it measures. Never `rtlab.models` or a figure.
"""
