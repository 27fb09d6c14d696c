"""Sequence parallelism for a finished transformer: one video's tokens split over the ranks of a gang.

`layout` says how, `process_group` brings the ranks together, `token_group` slices and gathers tokens, and
`apply` puts diffusers' context parallelism on the stock model. Knows nothing of forecasting, Ray or Hydra.
"""
