"""The page that every run leaves: index.html, and beside it what it shows, in scripts that load from a disk.

`render_again.py` the command of one video; `records.py` what the page knows of a run; `files.py` the files;
`live.py` rebuilds them while a launch goes on; `__main__.py` rebuilds them by hand. The page itself is in `assets/`.
"""
