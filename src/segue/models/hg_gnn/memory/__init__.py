"""The memory of preset `segue`: what counts suggest for an event, and how far they are believed.

`tables` holds the counts, `question` what an event asks with, `sources` one definition of each source, `recall` looks
them all up, `weights` turns them into scores and probabilities.
"""
