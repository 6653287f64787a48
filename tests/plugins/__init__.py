"""Plugins of this test suite, loaded by the `conftest.py` at the root: rules, marks and the three stages.

They may import pytest and xdist, never rtlab.
"""
