"""What notebooks measure: each experiment returns its data, and `.plot()` is one call into
`rtlab.figures`.

Imports the lab and the instruments. Never `rtlab.models`, which a measurement is compared with, and
never matplotlib.
"""
