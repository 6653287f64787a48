"""What all figures share: colours, texts of axes, and the style of a chart.

May import matplotlib and the protocol's names; never a figure, an experiment or a model.
"""
