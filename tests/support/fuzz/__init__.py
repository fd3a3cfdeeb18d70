"""Damaged configs, images, videos and photo sequences: everything is read, or refused with an error of the package."""
