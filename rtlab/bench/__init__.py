"""Benchmarks: ratios against a named peer, measured in the same run.

Imports the lab, the experiments and the patterns that it measures. Never `rtlab.models` or a figure.
"""
