"""Diagrams of what happens in which order: states, messages between lanes, the legs of one message's path.

May import the style, and the types of what is drawn; never an experiment, a lab or a live widget.
"""
