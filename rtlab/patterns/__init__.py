"""What applications build on a connection: fallback, climbing back, rooms, batches.

Imports the client. Never a lab or a measurement.
"""
