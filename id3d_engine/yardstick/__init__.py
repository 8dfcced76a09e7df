"""How good are the heads that a method makes of people it has never seen?

subjects.py   the people: held-out authored heads, each with one photo-like render
methods.py    what makes heads of them: ID3D, parts of it, and what it has to beat
figures.py    a head against the true one: millimetres, degrees, expressions, mesh, maps
likeness.py   pictures of the heads before face recognisers, of which one never guided anything
cost.py       seconds and memory that a head took
report.py     means with confidence intervals, as JSON and as a table
run.py        all of it; `id3d evaluate --people N`
"""
