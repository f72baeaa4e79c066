"""Learned parts: representations, networks, processes and their training. Nothing outside imports
them but systems and zoo.
"""

__all__: list[str] = []
