"""How encoders train themselves: the methods, and the loop that they share.

`stages` says what a method is to the loop; `loop` runs it; `infonce`, `coclr`, `cvrl` and `cmd` are
one method each. Networks are in `encoders`, losses in `contrast`, views in `augment`, clips in
`pretraining`.
"""
