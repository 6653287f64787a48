"""The ``rtlab`` command.

Each command imports what it needs when it runs; another subpackage never imports this one.
"""
