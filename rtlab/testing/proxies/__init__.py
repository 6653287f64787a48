"""Rules for single messages (change, drop, repeat, hold), and proxies that apply them before a real server.

May import the mocks' parts (a mock takes the rules as its link), the matching, the journal, the fault proxy's
message scanner and real sockets; never a lab, which starts servers.
"""
