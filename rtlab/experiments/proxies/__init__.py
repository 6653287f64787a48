"""What real proxies do to each transport.

Imports the lab, which starts them. Never a model.
"""
