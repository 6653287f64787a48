"""What applications build on a connection: fallback, climbing back, one call that ends with messages flowing.

Imports the client. Never a lab or a measurement.
"""
