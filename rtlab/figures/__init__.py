"""The only subpackage that draws static figures: one palette, one style, a function per kind of result.

Imports matplotlib, the closed forms of the models, the percentiles, and the types of the data; `chart_style`
is what all figures share. Never an experiment, a lab or a live widget: the caller passes in the data.
"""
