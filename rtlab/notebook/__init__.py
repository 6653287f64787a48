"""JupyterLab itself: whether its environment is whole, the reader's copy of the notebooks, and a
browser that runs them.

Imports `rtlab.processes` and the package's files. Never a transport.
"""
