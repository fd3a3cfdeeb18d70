"""Reading what people shoot: videos, animations, and photos in a folder, glob, pattern or list."""
