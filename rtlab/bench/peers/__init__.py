"""What the benchmarks compare with: the bare libraries, and other servers as child processes.

Imports only what each needs to run alone. Never rtlab's own clients or server.
"""
