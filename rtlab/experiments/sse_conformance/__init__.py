"""The rules of event streams as rows, and which client keeps them.

Imports the scripted server of `rtlab.testing`. Never a lab: a wrong server is needed, and ours is
right.
"""
