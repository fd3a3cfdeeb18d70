"""Drawing the style images of `scripts/make_styles.py`: one module per style, and the materials that they use.

`fields` has noise and color ramps, `brush` has bristles, strokes and impasto light, `washes` transparent paint on
paper. Every module of a style has one function, `make_image(width_px, seed) -> (H, W, 3) uint8 sRGB`, whose result
depends on its two arguments only.
"""
