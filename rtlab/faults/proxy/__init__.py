"""The proxy: listeners, links (one for each connection), and the pipes through which bytes pass the toxics.

Imports the toxics' interface and the trace. Never the API that drives it.
"""
