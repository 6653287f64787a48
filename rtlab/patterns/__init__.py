"""What applications build on a connection: transport fallback and upgrade, rooms, batches, queues, pools.

This package imports the client. It never imports a lab or a measurement.
"""
