"""The HTTP API, /api/v1: each route hands its question to one method of Index."""
