"""Closed forms that measurements are held against, each with its source.

Imports only numpy and `rtlab.errors`. Never a measurement, or anything that a measurement imports.
"""
