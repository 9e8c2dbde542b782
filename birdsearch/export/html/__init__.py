"""Self-contained HTML pages: only here are jinja2 and bokeh imported."""
