"""The measurements that the notebooks run. Each experiment returns its data, whose `.plot()` is one call
into `rtlab.figures`.

Imports the lab and the instruments, but never `rtlab.models`, whose results measurements are compared
with, and never matplotlib.
"""
