"""Still images: reading any of them as upright sRGB, exact PNG for stored frames, resizing, and the way to tensors.

Every array here is uint8 (H, W, 3) sRGB unless stated otherwise; tensors are float32 (3, H, W) sRGB in [0, 1].
"""
