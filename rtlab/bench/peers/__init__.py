"""The peers of the benchmarks: bare libraries, matplotlib, and other servers as child processes.

Each module imports only what it needs to run alone. Never rtlab's own clients, server or lab.
"""
