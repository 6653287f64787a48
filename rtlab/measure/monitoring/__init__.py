"""The servers' metrics, scraped from their pages: histories, expressions over them, and alerts.

Imports the lab's metrics reader and Prometheus' parser. Never starts a lab, never draws, and never
judges by a model: an alert rule is what its author wrote.
"""
