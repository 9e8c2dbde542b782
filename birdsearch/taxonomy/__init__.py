"""A text becomes a taxon of AviList: only here is rapidfuzz imported."""
