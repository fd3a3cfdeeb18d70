"""The studio behind `scripts/make_styles.py`: one room per style, plus the materials they share.

`fields` has noise and color ramps, `brush` has bristles, strokes and impasto light. Every style room has one
function, `paint(width_px, seed) -> (H, W, 3) uint8 sRGB`, a pure function of its two arguments.
"""
