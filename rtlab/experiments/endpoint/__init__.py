"""Shared by probe, audit and conformance tests: a bare socket to any server, and valid or invalid frames.

It may import the client's rules for URLs and errors. It never imports a lab, and it does not judge what a
server does.
"""
