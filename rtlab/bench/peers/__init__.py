"""What the benchmarks compare with: bare libraries, matplotlib, and other servers as child processes.

Imports only what each needs to run alone. Never rtlab's own clients, server or lab.
"""
