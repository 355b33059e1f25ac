"""JSON schemas of tools and of structured outputs: what they force, judge, are refused for, and help to repair.

`grammar` forces what a grammar can say, `check` judges the rest afterwards, `refuse` knows what the API would not take,
`repair` and `closing` mend what was written without a grammar. Nothing here fails over a schema, whatever it is.
"""
