"""The proxy: listeners, links (one per connection), and pipes, which pass bytes through the toxics.

This package imports the toxics' interface and the trace. It never imports the API that controls it.
"""
