"""Recording instruments: samples, the recorder, the ledger of deliveries, loop lag, CPU, statistics.

Imports the client's events and the fault proxy's trace. Never a model, a figure or a pattern.
"""
