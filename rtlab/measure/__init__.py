"""Recording instruments: samples, the recorder, loop lag, CPU, provenance, statistics.

Imports the client's events and the fault proxy's trace. Never a model, a figure or a pattern.
"""
