"""What may be set at all, whoever asks: freezes, caps, and the versions of both.

Pure: no await, every clock passed in. In order: `rules` (values), `file` (TOML to rules), `index` (the rules that a
command meets), `history` (what lanes had, and when), `decide` (what a command breaks), `freezes`, `loosening` (which
changes need two), `signatures`, `board` (what the policy topic says now), `guard` (what the pipeline asks), `past`
(a policy tried over events).
"""
