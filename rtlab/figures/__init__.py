"""The only room that draws static figures: one palette, one look, a function for each kind of result.

Imports matplotlib and the types of what it draws. Never an experiment, a lab or a live widget: a
figure is given its data.
"""
