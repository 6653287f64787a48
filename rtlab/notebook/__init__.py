"""JupyterLab: checks of its environment, the reader's copy of the notebooks, and a browser that
runs them.

This package imports `rtlab.processes` and the packaged files. It never imports a transport.
"""
