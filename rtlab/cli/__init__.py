"""The ``rtlab`` command.

Imports anything, when a command runs. Never imported by another room.
"""
