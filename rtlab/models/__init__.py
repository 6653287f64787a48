"""Closed-form models that measurements are compared with, each with its source.

Imports only numpy and `rtlab.errors`. Never a measurement, or anything that a measurement imports.
"""
