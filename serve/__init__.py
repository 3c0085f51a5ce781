"""The online application: HTTP in front of a detector and a recogniser, on Ray Serve.

`ray serve` is told `serve.app:build`; in this repository the bare name `serve` is `ray.serve`.
"""
