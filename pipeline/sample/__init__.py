"""The sample timelapse of the demo, computed by our own code: a mountain lake from dawn to night.

`scene` is the land, `sky` the air, `frame` lights both for an hour, and `photos` writes frames as photos of a camera.
"""
