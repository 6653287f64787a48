"""Claims held against numbers: what is expected, what was found and predicted, and tables of both.

Imports the widgets' shared parts in the folder above and the figures' labels; never a client or a lab.
"""
