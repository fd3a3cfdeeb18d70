"""Motion: optical flow between content frames, how far it can be relied on, and stylized frames warped along it.

A flow is float32 (H, W, 2) in px, (x, y): the pixel (x, y) of one frame lies at (x + u, y + v) in the other. Pixel
centers are at whole coordinates. *Backward* flow leads from the current frame to the previous one: it says for every
pixel of the current frame where its content was.
"""
