"""What this machine can do for Segue: facts, speeds, and what would be slow or fail and why, for ``segue doctor``.

Nothing here needs a package to work that it reports on: torch and the others are imported inside, and may be broken.
"""
