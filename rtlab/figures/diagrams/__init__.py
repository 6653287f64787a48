"""Diagrams: boxes, arrows and lanes rather than axes of numbers.

May import the style, and the types of what is drawn; never an experiment, a lab or a live widget.
"""
