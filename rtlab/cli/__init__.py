"""The ``rtlab`` command.

Each command imports what it needs when it runs. No other subpackage imports this one.
"""
