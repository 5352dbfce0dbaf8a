"""Seeing the memory: how a model attends to a stream, what its memory holds, figures of comparisons."""
