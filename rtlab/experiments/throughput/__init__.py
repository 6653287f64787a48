"""Batching, compression, encodings, slow consumers and overload: what a rate costs, and when it collapses.

Imports the lab, the clients and the instruments; never a model, and never another folder of experiments.
"""
