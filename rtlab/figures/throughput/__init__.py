"""Figures of load: batches, compression, slow consumers, order, and a load tester's blind spot.

May import the style, the models and the types of the data; never an experiment, a lab or a live widget.
"""
