"""Vectors, and nothing but vectors: only here is faiss imported."""
