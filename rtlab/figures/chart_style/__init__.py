"""What all figures share: colours, texts of axes, and the style of a chart.

May import matplotlib and Pillow, never anything else of rtlab.
"""
