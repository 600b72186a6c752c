"""The quality of carriers: which share of the messages they deliver, and how soon, by country and account.

In: how messages ended, as the store counts it once a second. Out: figures of the last hour and of the week before, for
pages, `status` and metrics; and, for routes with `quality`, which carriers they try last for now.

Start with `delivery_quality`, which has the counts. `quality_rules` decides which carriers a route avoids,
`quality_watch` does both in the running relay, and `quality_file` keeps them over a restart.
"""
