"""Figures that compare the transports, or show one of them.

May import the style, the models and the types of the data; never an experiment, a lab or a live widget.
"""
