"""Statistics that judge samples: one test or estimate a module.

Imports only numpy and msgspec. Never a recorder, a clock or a model: a law is a function that the
caller brings.
"""
