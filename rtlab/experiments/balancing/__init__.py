"""What a balancer does with clients: which node gets which key, and where connections end up when nodes
join and restart.

Imports the lab and bare clients. Never a model: `rtlab.models` has the formulas to compare with.
"""
