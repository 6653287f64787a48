"""What probe, audit and the conformance tables share: a bare socket to any server, frames right or wrong.

It may import the client's rules for URLs and errors; it never imports a lab, nor judges what it sees.
"""
