"""The rules of event streams as tables of cases, and a scoreboard of the clients that keep them.

Imports the scripted server of `rtlab.testing`. Never a lab: the cases need a server that is wrong.
"""
