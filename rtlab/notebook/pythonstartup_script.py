"""Run by each kernel of `rtlab lab` before its first cell (PYTHONSTARTUP), in the reader's namespace."""

try:
    from rtlab.notebook.interrupted_cell import install as _install_interrupted
    from rtlab.notebook.missing_names import install as _install
except ImportError:  # a kernel of another environment
    pass
else:
    _install()
    _install_interrupted()
    del _install, _install_interrupted
