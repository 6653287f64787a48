"""Run by each kernel of `rtlab lab` before its first cell (PYTHONSTARTUP), in the reader's namespace."""

try:
    from rtlab.notebook.missing_names import install as _install
except ImportError:  # a kernel of another environment
    pass
else:
    _install()
    del _install
