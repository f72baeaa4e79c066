"""Distances between samples of showers, each with its uncertainty and its full-simulation floor."""
