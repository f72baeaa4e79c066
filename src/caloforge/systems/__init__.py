"""The published systems: one short file a paper, which imports none of the others.

Each registers its stages or its model by name (`caloforge.models.registry`).
"""

__all__: list[str] = []
