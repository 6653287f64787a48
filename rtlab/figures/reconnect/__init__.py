"""Figures of failure and recovery: delays, herds, dead peers, circuit breakers.

May import the style, the models and the types of the data; never an experiment, a lab or a live widget.
"""
