"""The only subpackage that draws static figures: one palette, one style, a function per kind of result.

Imports matplotlib, the closed forms of the models, and the types of the data. Never an experiment, a lab
or a live widget: the caller passes in the data.
"""
