"""State of a real-time connection in Reacton components: hooks, a provider, and its reducer.

Imports the client, the policies and Reacton. Never draws a figure, never starts a lab, and holds no
widget of its own.
"""
