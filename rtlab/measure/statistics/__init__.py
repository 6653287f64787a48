"""Statistics that judge samples: one test or estimator per module.

Imports only numpy and msgspec. Never a recorder, a clock or a model: a distribution is a function
that the caller passes in.
"""
