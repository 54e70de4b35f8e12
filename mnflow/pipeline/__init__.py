"""The steps of the path: each combines packages and logs what comes out. Entry points parse options and call
them.
"""
