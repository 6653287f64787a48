"""Benchmarks: ratios against a named peer, measured in the same run.

Imports the lab and the experiments. Never `rtlab.models`, a pattern or a figure.
"""
