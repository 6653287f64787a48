"""The four transports side by side: latency, connect time, bytes, TLS, proxies on the way, a browser's own.

Imports the lab, the clients and the instruments; never a model, and never another folder of experiments.
"""
