"""The demo model: a tiny FLUX.1-class model, how it was made, and what it can draw."""
