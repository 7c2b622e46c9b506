"""Behaviour: tells AI traffic apart by how it moves, where nobody can read it.

`features` makes numbers of a window of traffic, `forest` is the trained model, `behaviour` says
what a connection and its process are like. Training is another place's: `busted ml train`.
"""
