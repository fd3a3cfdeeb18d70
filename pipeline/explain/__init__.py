"""Pictures of what happens inside: feature maps, single layers, the growth of the picture, losses, and their page."""
