"""The only room that draws: one style, and a static figure for each kind of result.

Imports matplotlib, and what it draws. Never a live widget, or a measurement that it would start.
"""
