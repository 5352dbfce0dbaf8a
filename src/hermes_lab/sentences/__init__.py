"""Streams of sentences through a pretrained language model: memories judged on real weights."""
