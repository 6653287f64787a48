"""How a load balancer distributes clients: which node gets which key, and where connections end up when
nodes join and restart.

Imports the lab and bare clients, but never `rtlab.models`, whose formulas the results are compared with.
"""
