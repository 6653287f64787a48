"""The rules for event streams as tables of test cases, and a scoreboard of how well clients keep them.

Imports the scripted server of `rtlab.testing`, but never a lab: the cases need a server that breaks rules.
"""
